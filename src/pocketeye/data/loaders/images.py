"""Loaders whose every draw follows from (seed, epoch, sample).

So the number of workers, the processes' timing and a resume change nothing. Lightning calls
``sampler.set_epoch``; the sampler hands out numbers together with the seed of their augmentation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pocketeye.data import DAMAGED, ImageSet, UnreadableImage
from pocketeye.data.loaders.sampling import EpochSampler, Key, MultiScaleBatches
from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue

logger = logging.getLogger(__name__)
Batch = tuple[Tensor, Tensor]
Transform = Callable[[Any], Tensor]
IGNORED = DAMAGED
"""Label of rows that count for nothing: damaged images, and what fills up the last shard of an
evaluation in several processes."""


def make_loader(
    images: ImageSet,
    transform: Transform,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    drop_last: bool,
    workers: int = 0,
    scales: Sequence[tuple[Transform, int]] = (),
) -> DataLoader[Batch]:
    """Batches of (float32 ``(N, C, S, S)``, int64 ``(N,)``).

    With a transform that has a ``batch`` way and a set in memory a whole batch is made at once. In
    several processes each gets its share, of equal size: with ``shuffle`` a few samples come twice,
    without it a filler row has the label -100 (cross entropy's ``ignore_index``).

    ``scales`` are the transforms and batch sizes of a multi-scale training, which take the place of
    ``transform`` and ``batch_size``; no sample comes twice then.

    A damaged image found late (a set too large for memory) is replaced by its neighbour while
    training, with a warning in the log, and is an error in evaluation.

    Raises:
        InvalidValue: a batch below 1, or a set smaller than one batch with ``drop_last``.
    """
    if batch_size < 1 or workers < 0:
        raise InvalidValue(f"batch size and workers cannot be {batch_size} and {workers}")
    processes = rank_and_world()[1]
    if len(images) == 0 or (drop_last and not scales and len(images) < batch_size * processes):
        raise InvalidValue(
            f"{images.source} has {len(images)} images, fewer than one batch of {batch_size}"
            + (f" in each of {processes} processes" if processes > 1 else "")
        )
    transforms = [transform, *(scaled for scaled, _ in scales)]
    batched = images.in_memory and all(getattr(t, "batch", None) is not None for t in transforms)
    kind = _Batches if batched else _Singles
    batches: dict[str, Any] = {
        "batch_size": batch_size,
        "sampler": EpochSampler(len(images), shuffle=shuffle, seed=seed),
        "drop_last": drop_last,
    }
    if scales:
        sizes = [batch for _, batch in scales]
        batches = {"batch_sampler": MultiScaleBatches(len(images), sizes, seed=seed)}
    return QuietLoader(
        kind(images, transforms, replace_damaged=shuffle),
        **batches,
        collate_fn=_as_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=one_thread,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),
    )


class QuietLoader(DataLoader[Any]):
    """Has a generator of its own, so that starting an epoch draws nothing from the global one."""

    def __getstate__(self) -> dict[str, Any]:
        # A pickled generator's state is a passing tensor, whose file descriptor is closed before a
        # spawned process can take it over.
        return {**self.__dict__, "generator": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, generator=torch.Generator())


def _as_is(batch: Any) -> Any:
    return batch


def one_thread(worker: int) -> None:
    torch.set_num_threads(1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from ``seed`` inside the block; the global generator is as before afterwards."""
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)


class _Singles(Dataset[Batch]):
    """Images transformed one by one; ``transforms`` are the usual one, then those of the scales."""

    def __init__(
        self, images: ImageSet, transforms: Sequence[Transform], *, replace_damaged: bool
    ) -> None:
        self.images, self.transforms = images, tuple(transforms)
        self.replace_damaged = replace_damaged

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, keys: list[Key]) -> Batch:
        with seeded(0):
            rows = [self._one(key) for key in keys]
        return torch.stack([row[0] for row in rows]), torch.tensor([row[1] for row in rows])

    def _transform(self, key: Key) -> Any:
        return self.transforms[0 if key.scale is None else 1 + key.scale]

    def _one(self, key: Key) -> tuple[Tensor, int]:
        torch.default_generator.manual_seed(key.seed)
        image, label = self._image(max(key.sample, 0))
        return self._transform(key)(image), IGNORED if key.sample < 0 else label

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
        raise InvalidValue(f"{self.images.source}: 16 damaged images in a row, see the log")


class _Batches(_Singles):
    """Images of one array in memory, transformed together."""

    def __getitems__(self, keys: list[Key]) -> Batch:
        indices = np.asarray([key.sample for key in keys])
        real = np.maximum(indices, 0)
        pixels = self.images.pixels(real)
        assert pixels is not None
        with seeded(keys[0].seed):
            x = self._transform(keys[0]).batch(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        labels = np.where(indices < 0, IGNORED, self.images.labels[real])
        return x, torch.from_numpy(labels)
