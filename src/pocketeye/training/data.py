"""Loaders whose every draw follows from (seed, epoch, sample).

So the number of workers, the processes' timing and a resume change nothing. Lightning calls
``sampler.set_epoch``; the sampler hands out numbers together with the seed of their augmentation.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from pocketeye.data import ImageSet, UnreadableImage
from pocketeye.errors import InvalidValue

logger = logging.getLogger(__name__)
Key = tuple[int, int]
Batch = tuple[Tensor, Tensor]
IGNORED = -100
"""Label of the rows that fill up the last shard of an evaluation in several processes."""


def make_loader(
    images: ImageSet,
    transform: Callable[[Any], Tensor],
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    drop_last: bool,
    workers: int = 0,
) -> DataLoader[Batch]:
    """Batches of (float32 ``(N, C, S, S)``, int64 ``(N,)``).

    With a transform that has a ``batch`` way and a set in memory a whole batch is made at once. In
    several processes each gets its share, of equal size: with ``shuffle`` a few samples come twice,
    without it a filler row has the label -100 (cross entropy's ``ignore_index``).

    A damaged picture found late (a set too large for memory) is replaced by its neighbour while
    training, with a warning in the log, and is an error in evaluation.

    Raises:
        InvalidValue: a batch below 1, or a set smaller than one batch with ``drop_last``.
    """
    if batch_size < 1 or workers < 0:
        raise InvalidValue(f"batch size and workers cannot be {batch_size} and {workers}")
    processes = _world()[1]
    if len(images) == 0 or (drop_last and len(images) < batch_size * processes):
        raise InvalidValue(
            f"{images.source} has {len(images)} pictures, fewer than one batch of {batch_size}"
            + (f" in each of {processes} processes" if processes > 1 else "")
        )
    batched = images.in_memory and getattr(transform, "batch", None) is not None
    kind = _Batches if batched else _Singles
    return _Loader(
        kind(images, transform, replace_damaged=shuffle),
        batch_size,
        sampler=EpochSampler(len(images), shuffle=shuffle, seed=seed),
        collate_fn=_as_is,
        drop_last=drop_last,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_one_thread,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


class _Loader(DataLoader[Batch]):
    """Has a generator of its own, so that starting an epoch draws nothing from the global one."""

    def __getstate__(self) -> dict[str, Any]:
        # A pickled generator's state is a passing tensor, whose file descriptor is closed before a
        # spawned process can take it over.
        return {**self.__dict__, "generator": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, generator=torch.Generator())


def _as_is(batch: Any) -> Any:
    return batch


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


class EpochSampler(Sampler[Key]):
    """Yields (index, seed of the sample's augmentation); index -1 stands for filler."""

    def __init__(self, length: int, *, shuffle: bool, seed: int) -> None:
        self.length, self.shuffle, self.seed = length, shuffle, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(self.length / _world()[1])

    def __iter__(self) -> Iterator[Key]:
        rank, world = _world()
        rng = np.random.default_rng((self.seed % (1 << 63), self.epoch))
        order = rng.permutation(self.length) if self.shuffle else np.arange(self.length)
        seeds = rng.integers(1 << 62, size=self.length)
        if missing := -self.length % world:
            filler = order[:missing] if self.shuffle else np.full(missing, -1)
            order = np.concatenate([order, filler])
        for index in order[rank::world]:
            yield int(index), int(seeds[index])


def _world() -> tuple[int, int]:
    """(Rank, processes); before the group exists what torchrun announces."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw from ``seed`` inside the block; the global generator is as before afterwards."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


class _Singles(Dataset[Batch]):
    """Pictures transformed one by one."""

    def __init__(
        self, images: ImageSet, transform: Callable[[Any], Tensor], *, replace_damaged: bool
    ) -> None:
        self.images, self.transform, self.replace_damaged = images, transform, replace_damaged

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, keys: list[Key]) -> Batch:
        with _seeded(0):
            rows = [self._one(*key) for key in keys]
        return torch.stack([row[0] for row in rows]), torch.tensor([row[1] for row in rows])

    def _one(self, index: int, seed: int) -> tuple[Tensor, int]:
        torch.default_generator.manual_seed(seed)
        image, label = self._image(max(index, 0))
        return self.transform(image), IGNORED if index < 0 else label

    def _image(self, index: int) -> tuple[Any, int]:
        for attempt in range(16):
            at = (index + attempt) % len(self.images)
            try:
                return self.images[at]
            except UnreadableImage as error:
                if not self.replace_damaged:
                    raise InvalidValue(
                        f"{self.images.name(at)} cannot be read ({error}): remove it from "
                        f"{self.images.source}"
                    ) from error
                logger.warning("%s cannot be read (%s), skipped", self.images.name(at), error)
        raise InvalidValue(f"{self.images.source}: 16 damaged pictures in a row, see the log")


class _Batches(_Singles):
    """Pictures of one array in memory, transformed together."""

    def __getitems__(self, keys: list[Key]) -> Batch:
        indices = np.asarray([index for index, _ in keys])
        real = np.maximum(indices, 0)
        pixels = self.images.pixels(real)
        assert pixels is not None
        with _seeded(keys[0][1]):
            x = self.transform.batch(torch.from_numpy(pixels).permute(0, 3, 1, 2))  # type: ignore[attr-defined]
        labels = np.where(indices < 0, IGNORED, self.images.labels[real])
        return x, torch.from_numpy(labels)
