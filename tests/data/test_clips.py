"""Clips, batches of them, and sources that follow from (seed, epoch, index)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pocketeye.data.clips.clips import Clip, ClipSource, MixedClips, collate_clips


def make_clip(objects: int, frames: int = 3, value: int = 0) -> Clip:
    masks = torch.zeros(objects, frames, 8, 6, dtype=torch.bool)
    masks[:, 0, :2] = True
    return Clip(
        torch.full((frames, 3, 8, 6), value, dtype=torch.uint8),
        masks,
        torch.ones(objects, frames, dtype=torch.bool),
    )


class Noise(ClipSource):
    """Frames of one value drawn at random above ``base``."""

    def __init__(self, length: int, base: int = 0, seed: int = 0, frames: int = 3) -> None:
        super().__init__(seed)
        self.length, self.base, self.frames = length, base, frames

    def __len__(self) -> int:
        return self.length

    def draw(self, index: int, rng: np.random.Generator) -> Clip:
        return make_clip(1, self.frames, self.base + int(rng.integers(100)))


def value(clip: Clip) -> int:
    return int(clip.frames[0, 0, 0, 0])


def test_a_batch_knows_whose_the_objects_are() -> None:
    batch = collate_clips([make_clip(2, value=1), make_clip(1, value=2), make_clip(3, value=3)])
    assert batch.frames.shape == (3, 3, 3, 8, 6)
    assert batch.frames.dtype == torch.uint8
    assert batch.masks.shape == (6, 3, 8, 6)
    assert batch.annotated.shape == (6, 3)
    assert batch.clip_of.tolist() == [0, 0, 1, 2, 2, 2]
    assert batch.clip_of.dtype == torch.int64
    assert batch.frames[:, 0, 0, 0, 0].tolist() == [1, 2, 3]
    assert batch.visible().tolist() == [[True, False, False]] * 6


def test_clips_of_different_lengths_are_no_batch() -> None:
    with pytest.raises(AssertionError, match="one shape"):
        collate_clips([make_clip(1, frames=3), make_clip(1, frames=1)])


def test_an_unannotated_frame_is_not_visible() -> None:
    clip = make_clip(2)
    clip.annotated[0, 0] = False
    assert clip.visible().tolist() == [[False] * 3, [True, False, False]]


def test_samples_follow_from_seed_epoch_and_index() -> None:
    source = Noise(20, seed=3)
    first = [value(clip) for clip in source]
    assert len(first) == 20
    assert len(set(first)) > 10
    assert [value(Noise(20, seed=3)[i]) for i in range(20)] == first
    assert [value(source[20 + i]) for i in range(20)] != first  # the next epoch
    assert [value(clip) for clip in Noise(20, seed=4)] != first


def test_a_mixture_keeps_its_weights_and_does_not_depend_on_workers() -> None:
    mixed = MixedClips(
        [(Noise(5), 3.0), (Noise(7, base=100), 1.0), (Noise(2, base=200), 0.0)], 200, seed=1
    )
    values = [value(clip) for clip in mixed]
    share = sum(v >= 100 for v in values) / len(values)
    assert 0.15 < share < 0.35
    assert max(values) < 200
    loader = DataLoader(mixed, batch_size=10, num_workers=2, collate_fn=collate_clips)
    again = [int(v) for batch in loader for v in batch.frames[:, 0, 0, 0, 0]]
    assert again == values
    assert [value(mixed[200 + i]) for i in range(200)] != values


def test_a_group_comes_from_one_source() -> None:
    sources = [(Noise(5, frames=1), 1.0), (Noise(5, frames=3), 1.0)]
    mixed = MixedClips(sources, 48, seed=0, group=4)
    lengths = [len(mixed[i].frames) for i in range(48)]
    groups = [set(lengths[i : i + 4]) for i in range(0, 48, 4)]
    assert all(len(group) == 1 for group in groups)
    assert Counter(lengths).keys() == {1, 3}
    assert len({value(mixed[i]) for i in range(48)}) > 20  # a group is not one sample repeated
