"""Batches of several sizes: every sample once at most, lengths right, ranks alike, workers alike."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.data import ImageSet, load_images
from pocketeye.data.loaders import sampling
from pocketeye.data.loaders.images import make_loader
from pocketeye.data.loaders.sampling import Key, MultiScaleBatches
from pocketeye.data.transforms.transforms import TransformRecipe, build_transform
from pocketeye.errors import InvalidValue

Sets = tuple[ImageSet, ImageSet]
PAIRS = ((32, 24), (48, 16), (64, 8))


def epoch(batches: MultiScaleBatches, number: int) -> list[list[Key]]:
    batches.sampler.set_epoch(number)
    return list(batches)


def scales(drawn: list[list[Key]]) -> list[int | None]:
    return [batch[0].scale for batch in drawn]


@pytest.mark.parametrize("length", [48, 49, 61, 200, 1000])
def test_length_is_that_of_every_epoch_and_no_sample_comes_twice(length: int) -> None:
    batches = MultiScaleBatches(length, [24, 16, 8], seed=3)
    for number in range(4):
        drawn = epoch(batches, number)
        assert len(drawn) == len(batches)
        samples = [key.sample for batch in drawn for key in batch]
        assert len(samples) == len(set(samples)) <= length
        assert length - len(samples) < 24, "less than the largest batch is left over"
        assert all(len(batch) == (24, 16, 8)[batch[0].scale or 0] for batch in drawn)
        assert all(key.scale == batch[0].scale for batch in drawn for key in batch)
        counts = Counter(scales(drawn))
        assert max(counts.values()) - min(counts[n] for n in range(3)) <= 1


def test_draws_follow_from_seed_and_epoch() -> None:
    batches, again, other = (MultiScaleBatches(1000, [24, 16, 8], seed=s) for s in (3, 3, 4))
    epoch(again, 7)
    assert epoch(batches, 1) == epoch(again, 1)
    assert scales(epoch(batches, 1)) != scales(epoch(batches, 2))
    assert scales(epoch(batches, 1)) != scales(epoch(other, 1))


def test_processes_have_the_same_sizes_and_other_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for rank in range(3):
        monkeypatch.setattr(sampling, "rank_and_world", lambda rank=rank: (rank, 3))
        drawn.append(epoch(MultiScaleBatches(500, [24, 16, 8], seed=0), 2))
    assert scales(drawn[0]) == scales(drawn[1]) == scales(drawn[2])
    samples = [key.sample for rank in drawn for batch in rank for key in batch]
    assert len(samples) == len(set(samples))


def loader(images: ImageSet, policy: str | None, workers: int = 0) -> torch.utils.data.DataLoader:
    recipe = TransformRecipe(auto_augment=policy)
    usual, *scaled = (
        build_transform(True, size, images.in_chans, None, None, recipe)
        for size in (32, 32, 48, 64)
    )
    pairs = list(zip(scaled, (batch for _, batch in PAIRS), strict=True))
    made = make_loader(
        images, usual, 64, shuffle=True, seed=0, drop_last=True, workers=workers, scales=pairs
    )
    made.batch_sampler.sampler.set_epoch(1)  # type: ignore[union-attr]
    return made


@pytest.mark.parametrize("policy", [None, "rand-m9"])
def test_loader(digits: Sets, policy: str | None) -> None:
    made = loader(digits[0], policy)
    batches = list(made)
    assert len(batches) == len(made) == 16  # 5 rounds of 48, then the 16 left over
    assert {(x.shape[-1], len(x)) for x, _ in batches} == set(PAIRS)
    with_workers = list(loader(digits[0], policy, workers=2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(batches, with_workers, strict=True))


def test_loader_of_files(digits: Sets, tmp_path: Path) -> None:
    for index in range(60):
        sample = digits[0].read(index)
        image, label = sample.image, sample.targets
        path = tmp_path / "train" / str(label % 2) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.resize((40, 50)).save(path)
    images = load_images(tmp_path, "train", memory_bytes=1)
    assert not images.in_memory
    assert {(x.shape[-1], len(x)) for x, _ in loader(images, None)} <= set(PAIRS)


def test_too_few_images(digits: Sets) -> None:
    with pytest.raises(InvalidValue, match="48 images in all, but a process has 40"):
        loader(digits[0].subset(np.arange(40)), None)
