"""A supernet of segmenters: its maps, its gradients, its search from end to end."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pocketeye.data.semantic.class_maps import IGNORE
from pocketeye.data.semantic.samples import load_semantic
from pocketeye.errors import InvalidValue, UserError
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.pixel_head import PixelHead, SegmenterSpec
from pocketeye.models.dense.semantic import create_semantic
from pocketeye.models.space import StageSpec
from pocketeye.models.task import SEMANTIC
from pocketeye.runs import RunFolder
from pocketeye.searching.learning.task import SearchTask
from pocketeye.searching.run import SearchOutcome, run_search
from pocketeye.searching.segmentation import Segmentation
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.task import pixel_loss

from ..training.dense_sets import write_semantic_discs
from .toys import SPACE as TOY, config, make_table, make_theta, random_choices

SPACE = replace(
    TOY,
    name="tiny-dense",
    input_size=32,
    stages=tuple(
        StageSpec(chs=chs, depth=depth, stride=2)
        for chs, depth in ((8, 2), (8, 1), (16, 2), (16, 2))
    ),
    candidates=("k3_e1", "k5_e3", "skip"),
    stem_stride=2,
    in_chans=3,
)
HEAD = SegmenterSpec(num_classes=3, fpn_channels=16, head_channels=8)
RECIPE = DenseRecipe(
    task="semantic", crop=32, train_sizes=(64,), input_size=64, max_size=512, fpn_channels=16,
    head_channels=8, drop_rate=0.1,
)  # fmt: skip


@pytest.fixture
def net() -> SuperNet:
    torch.manual_seed(0)
    return SuperNet(SPACE, pixel_head=PixelHead(SPACE, HEAD, 0.0))


@pytest.fixture
def problem(tmp_path: Path) -> Segmentation:
    root = write_semantic_discs(tmp_path / "discs", {"train": 10, "val": 2})
    train = load_semantic(root, "train")
    described = DenseDescription(
        task=SEMANTIC, backbone="tiny", architecture=None, classes=train.classes,
        category_ids=(), min_size=64, max_size=512, fpn_channels=16, head_channels=8, norms="live",
        data=str(root),
    )  # fmt: skip
    return Segmentation(train, RECIPE, described)


def search(folder: Path, problem: Segmentation, *, resume: bool = False) -> SearchOutcome:
    low, high = make_table(SPACE).matrix(SPACE).range_ms
    settings = config(
        batch_size=4, theta_batch_size=2, theta_fraction=0.4, target_ms=(low + high) / 2
    )
    run = RunFolder.open(folder, settings.to_dict(), resume=resume)
    return run_search(SPACE, make_table(SPACE), problem, settings, run, resume=resume)


def test_a_path_is_the_segmenter_on_its_backbone(net: SuperNet) -> None:
    """Weights of a path, in the network that `train semantic` makes of its architecture."""
    choices = random_choices(SPACE, random.Random(1))
    architecture = SPACE.architecture([SPACE.ops[c] for c in choices], "path")
    path = net.subnet(architecture).eval()
    whole = create_semantic(architecture, 3, fpn_channels=16, channels=8, drop_rate=0.0).eval()
    values = list(path.state_dict().values())
    keys = list(whole.state_dict())
    assert [whole.state_dict()[key].shape for key in keys] == [value.shape for value in values]
    whole.load_state_dict(dict(zip(keys, values, strict=True)))
    images = torch.randn(2, 3, 48, 80, generator=torch.Generator().manual_seed(2))
    expected = whole(images)
    assert expected.shape == (2, 3, 48, 80)
    torch.testing.assert_close(path(images), expected)
    torch.testing.assert_close(net.eval().forward_path(images, choices), expected)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_pixels_move_theta_at_every_layer(net: SuperNet, *, checkpointing: bool) -> None:
    theta = make_theta(net)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    labels = torch.zeros(2, 32, 32, dtype=torch.uint8)
    labels[:, 16:] = 2
    labels[:, :4] = IGNORE
    net.requires_grad_(False)
    logits = net.forward_mixture(images, theta.probabilities(), checkpointing=checkpointing)
    assert logits.shape == (2, 3, 32, 32)
    pixel_loss(logits, labels).backward()
    grad = theta.theta.grad
    assert grad is not None
    several = net.mask.sum(1) > 1
    assert bool((grad[several].abs().amax(1) > 0).all())


def test_search_from_end_to_end_and_resumed(
    tmp_path: Path, problem: Segmentation, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(tmp_path / "whole", problem)
    assert bool((whole.theta[whole.supernet.mask.numpy()] != 0).any())
    assert all(np.isfinite(row["loss_w"]) for row in whole.history)
    step = SearchTask.training_step

    def interrupted(self: SearchTask, batch: Any, batch_idx: int) -> Tensor:
        if (self.current_epoch, batch_idx) == (2, 1):
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(SearchTask, "training_step", interrupted)
        with pytest.raises(UserError, match="--resume"):
            search(tmp_path / "parts", problem)
    again = search(tmp_path / "parts", problem, resume=True)
    assert np.array_equal(again.theta, whole.theta)
    state = whole.supernet.state_dict()
    assert all(torch.equal(state[k], v) for k, v in again.supernet.state_dict().items())


def test_weights_and_theta_learn_from_other_images(problem: Segmentation) -> None:
    weights, theta = problem.split(0.3, 5)
    pairs = [*weights.found.pairs, *theta.found.pairs]
    assert len(theta) == 3
    assert sorted(pairs) == sorted(problem.images.found.pairs)
    assert problem.split(0.3, 5)[1].found.pairs == theta.found.pairs
    assert problem.split(0.3, 6)[1].found.pairs != theta.found.pairs


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"stages": SPACE.stages[:3]}, "'tiny-dense' has none at 32"),
        ({"in_chans": 1}, "sees 3 channels, but the space 'tiny-dense' is for 1"),
    ],
)
def test_a_space_that_cannot_label_pixels(
    problem: Segmentation, changes: dict[str, Any], wrong: str
) -> None:
    space = replace(SPACE, **changes)
    with pytest.raises(InvalidValue, match=wrong):
        problem.check(space)
