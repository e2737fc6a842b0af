"""Load drawn samples: sample ``i`` of epoch ``e`` is always the same, whatever reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from pocketeye.data.clips.clips import collate_clips
from pocketeye.data.loaders.loader import SampleLoader
from pocketeye.data.seeded import SeededDataset
from pocketeye.devices import rank_and_world


class ClipSampler(Sampler[int]):
    """Give numbers ``epoch * length + place`` of a :class:`SeededDataset`, in batches of all processes.

    Neighbouring samples land in one batch, so that a mixture can give batches of one kind.

    Args:
        length: samples in an epoch, of all processes; a multiple of the batches of all.
        batch_size: per process.
        first_epoch_only: always the same samples, for validation; then the last batch may be smaller.
    """

    def __init__(self, length: int, batch_size: int, *, first_epoch_only: bool = False) -> None:
        self.length, self.batch_size, self.fixed = length, batch_size, first_epoch_only
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[int]:
        rank, world = rank_and_world()
        # Numbers run on from epoch to epoch (see SeededDataset): workers need not be told the epoch.
        first = 0 if self.fixed else self.epoch * self.length
        for start in range(rank * self.batch_size, self.length, world * self.batch_size):
            stop = min(start + self.batch_size, self.length)
            yield from (first + place for place in range(start, stop))


def make_clip_loader(
    source: SeededDataset[Any],
    batch_size: int,
    *,
    training: bool,
    workers: int = 0,
    collate: Callable[[Sequence[Any]], Any] = collate_clips,
) -> DataLoader[Any]:
    """Make a loader of batches of ``source``, as ``collate`` puts them together."""
    return SampleLoader(
        source,
        batch_size=batch_size,
        sampler=ClipSampler(len(source), batch_size, first_epoch_only=not training),
        collate_fn=collate,
        num_workers=workers,
        # Workers hold opened videos and caches, which a new start would lose.
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
