"""Automatic augmentation: policy strings are checked, all work on grey and colour, draws are ours."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.data.transforms.auto_augment import AutoAugment
from pocketeye.data.transforms.transforms import TransformRecipe
from pocketeye.errors import InvalidValue

POLICIES = (
    "original", "originalr-mstd0.5", "v0", "v0r", "3a", "rand-m9-mstd0.5-inc1", "rand-m15-n4-p1",
    "rand-m9-tweights", "rand-m9-mmax20-t3aw", "augmix-m5-w4-d2", "augmix-b1-a0.5",
)  # fmt: skip


def make_image(mode: str) -> Image.Image:
    shape = (24, 24, 3) if mode == "RGB" else (24, 24)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_changes_images_and_follows_torchs_generator(policy: str, mode: str) -> None:
    image = make_image(mode)
    augment = AutoAugment(policy, 24, (0.5,) * len(image.getbands()))
    passed_on = pickle.loads(pickle.dumps(augment))
    results = []
    for make in (augment, passed_on):
        torch.manual_seed(0)
        random.seed()
        results.append([np.asarray(make(image)) for _ in range(60)])
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    assert all(one.shape == np.asarray(image).shape for one in results[0])
    assert sum(not np.array_equal(one, np.asarray(image)) for one in results[0]) > 20


def test_full_magnitude_works_where_pillow_refuses_no_bits() -> None:
    augment = AutoAugment("rand-m10-n15-p1-inc1", 24, (0.5,) * 3)
    torch.manual_seed(0)
    black = [np.asarray(augment(make_image("RGB"))).max() == 0 for _ in range(20)]
    assert any(black)


def test_it_leaves_the_global_generators_as_they_were() -> None:
    augment = AutoAugment("rand-m9-mstd0.5", 24, (0.5,) * 3)
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    augment(make_image("RGB"))
    drawn = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(3)
    np.random.seed(3)  # noqa: NPY002
    assert drawn == (random.random(), np.random.rand())  # noqa: NPY002


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("ran-m9", "begins with no known policy. Did you mean 'rand'?"),
        ("rand-m9-foo", "'rand' has no section 'foo'"),
        ("rand-m", "no section 'm'"),
        ("rand-mx", "no section 'mx'"),
        ("rand-w0", "no section 'w0'"),
        ("rand-m9-", "no section ''"),
        ("rand-tfoo", "no section 'tfoo'"),
        ("original-m9", "no section 'm9'"),
        ("", "begins with no known policy"),
    ],
)
def test_malformed_policies(policy: str, message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        TransformRecipe(auto_augment=policy)
    assert message in str(caught.value) or policy == ""
    if policy == "":
        assert "policy" in str(caught.value)
