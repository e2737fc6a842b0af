"""Loaders: the same batches whatever prepares them, shards of several processes, damaged images."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.data import ImageSet, load_images
from pocketeye.data.loaders import sampling
from pocketeye.data.loaders.images import IGNORED, make_loader
from pocketeye.data.transforms.transforms import TransformRecipe, build_transform
from pocketeye.errors import InvalidValue

Sets = tuple[ImageSet, ImageSet]


def loader(images: ImageSet, *, train: bool = True, epoch: int = 0, **options: object):
    recipe = options.pop("recipe", TransformRecipe(flip=0.0))
    transform = build_transform(train, 12, images.in_chans, None, None, recipe)  # type: ignore[arg-type]
    defaults = {"shuffle": train, "seed": 0, "drop_last": train}
    made = make_loader(images, transform, 32, **{**defaults, **options})  # type: ignore[arg-type]
    made.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    return made


def test_batches(digits: Sets) -> None:
    train, val = digits
    batches = list(loader(train))
    assert len(batches) == len(loader(train)) == 8
    assert batches[0][0].shape == (32, 1, 12, 12)
    assert (batches[0][0].dtype, batches[0][1].dtype) == (torch.float32, torch.int64)
    labels = torch.cat([y for _, y in batches])
    assert labels.tolist() != train.labels.tolist()
    assert sorted(labels.tolist()) == sorted(train.labels.tolist())
    assert torch.cat([y for _, y in loader(val, train=False)]).tolist() == val.labels.tolist()


@pytest.mark.parametrize("policy", [None, "rand-m5-mstd0.5", "augmix-m3", "original"])
def test_draws_follow_from_seed_and_epoch_alone(digits: Sets, policy: str | None) -> None:
    recipe = TransformRecipe(auto_augment=policy)

    def epoch(number: int, **options: object) -> torch.Tensor:
        torch.rand(np.random.default_rng().integers(1, 9))  # whatever else draws numbers
        made = loader(digits[0], epoch=number, recipe=recipe, **options)
        return torch.cat([x for x, _ in made])

    first = epoch(0)
    assert torch.equal(first, epoch(0))
    assert torch.equal(first, epoch(0, workers=2))
    assert not torch.equal(first, epoch(1))
    assert not torch.equal(first, epoch(0, seed=1))


def test_an_epoch_draws_nothing_from_the_global_generator(digits: Sets) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    list(loader(digits[0]))
    assert torch.equal(before, torch.get_rng_state())


def test_single_and_batch_way_agree_in_evaluation(digits: Sets, tmp_path: Path) -> None:
    val = digits[1]
    for index in range(20):
        sample = val.read(index)
        target = tmp_path / str(sample.targets) / f"{index:02}.png"
        target.parent.mkdir(exist_ok=True)
        sample.image.save(target)
    loaded = {}
    for budget in (1 << 20, 1):
        images = load_images(tmp_path, "val", in_chans=1, memory_bytes=budget)
        assert images.in_memory == (budget > 1)
        loaded[budget] = torch.cat([x for x, _ in loader(images, train=False)])
    assert torch.equal(loaded[1], loaded[1 << 20])


def test_shards_cover_everything_once(digits: Sets, monkeypatch: pytest.MonkeyPatch) -> None:
    train, val = digits
    for images, is_train in ((train, True), (val, False)):
        seen: list[int] = []
        for rank in range(2):
            monkeypatch.setattr(sampling, "rank_and_world", lambda rank=rank: (rank, 2))
            keys = list(loader(images, train=is_train).sampler)
            assert len(keys) == -(-len(images) // 2)
            seen += [key.sample for key in keys]
        real = [index for index in seen if index >= 0]
        assert set(real) == set(range(len(images)))
    assert len(real) == len(val), "evaluation counts nothing twice"
    labels = torch.cat([y for _, y in loader(val, train=False)])
    assert labels.tolist().count(IGNORED) == 1


def test_damaged_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("ant", "bee"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for index in range(20):
            Image.new("RGB", (9, 9)).save(tmp_path / "train" / name / f"{index}.png")
    images = load_images(tmp_path, memory_bytes=1)
    damaged = tmp_path / "train" / images.name(3)
    damaged.write_bytes(damaged.read_bytes()[:40])
    with caplog.at_level(logging.WARNING, "pocketeye"):
        assert len(list(loader(images))) == 1
    assert images.name(3) in caplog.text or 3 not in [k.sample for k in loader(images).sampler][:32]
    with pytest.raises(InvalidValue, match="cannot be read"):
        list(loader(images, train=False))


def test_too_few_images(digits: Sets) -> None:
    with pytest.raises(InvalidValue, match="has 10 images, fewer than one batch of 32"):
        loader(digits[0].subset(np.arange(10)))
