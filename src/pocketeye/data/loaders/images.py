"""Load images; every draw follows from (seed, epoch, sample).

So the number of workers, the processes' timing and a resume change nothing. Lightning calls
``sampler.set_epoch``; the sampler hands out numbers together with the seed of their augmentation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pocketeye.data.classification.images import ImageSet
from pocketeye.data.files import UnreadableImage
from pocketeye.data.loaders.loader import SampleLoader
from pocketeye.data.loaders.sampling import EpochSampler, Key, MultiScaleBatches
from pocketeye.data.sample import first_readable
from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue

Batch = tuple[Tensor, Tensor]
Transform = Callable[[Any], Tensor]
OnDamage = Literal["replace", "refuse", "ignore"]
IGNORED = -100
"""Label of rows that count for nothing: damaged images, and what fills up the last shard of an
evaluation in several processes. The number is the ``ignore_index`` of cross entropy."""


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
    on_damage: OnDamage | None = None,
) -> DataLoader[Batch]:
    """Make a loader of batches of (float32 ``(N, C, S, S)``, int64 ``(N,)``).

    With a transform that has a ``batch`` way and a set in memory a whole batch is made at once. In
    several processes each gets its share, of equal size: with ``shuffle`` a few samples come twice,
    without it a filler row has the label -100 (cross entropy's ``ignore_index``).

    ``scales`` are the transforms and batch sizes of a multi-scale training, which take the place of
    ``transform`` and ``batch_size``; no sample comes twice then.

    ``on_damage`` says what becomes of a damaged image of a set that is too large to be decoded at
    once: the next one takes its place (``replace``, for training), the loader raises InvalidValue
    (``refuse``), or a grey row has the label -100 (``ignore``, for judging). The first and the last
    name it in ``images.problems``. By default what is shuffled is for training, else refused.

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
    return SampleLoader(
        kind(images, transforms, on_damage or ("replace" if shuffle else "refuse")),
        **batches,
        collate_fn=_as_is,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def _as_is(batch: Any) -> Any:
    return batch


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
    """Transform images one by one; ``transforms`` are the usual one, then those of the scales."""

    def __init__(
        self, images: ImageSet, transforms: Sequence[Transform], on_damage: OnDamage
    ) -> None:
        self.images, self.transforms = images, tuple(transforms)
        self.on_damage = on_damage

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, keys: list[Key]) -> Batch:
        with seeded(0):
            rows = [self._one(key) for key in keys]
        return torch.stack([row[0] for row in rows]), torch.tensor([row[1] for row in rows])

    def _transform(self, key: Key) -> Any:
        return self.transforms[0 if key.scale is None else 1 + key.scale]

    def _one(self, key: Key) -> tuple[Tensor, int]:
        # Transforms draw from the global generator, which belongs to this sample alone here.
        torch.default_generator.manual_seed(key.seed)
        image, label = self._image(max(key.sample, 0))
        return self._transform(key)(image), IGNORED if key.sample < 0 else label

    def _image(self, index: int) -> tuple[Any, int]:
        if self.on_damage == "replace":
            sample = first_readable(self.images, index)
            return sample.image, sample.targets
        try:
            sample = self.images.read(index)
        except UnreadableImage as error:
            name = self.images.name(index)
            if self.on_damage == "refuse":
                raise InvalidValue(
                    f"{name} cannot be read ({error}): remove it from {self.images.source}"
                ) from error
            self.images.collector.found(name, str(error))
            mode = "L" if self.images.in_chans == 1 else "RGB"
            return Image.new(mode, (1, 1)), IGNORED  # the row keeps its place in the batch
        return sample.image, sample.targets


class _Batches(_Singles):
    """Transform images of one array in memory together."""

    def __getitems__(self, keys: list[Key]) -> Batch:
        indices = np.asarray([key.sample for key in keys])
        real = np.maximum(indices, 0)  # filler shows image 0, and its label says to ignore it
        pixels = self.images.pixels(real)
        assert pixels is not None
        with seeded(keys[0].seed):
            x = self._transform(keys[0]).batch(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        labels = np.where(indices < 0, IGNORED, self.images.labels[real])
        return x, torch.from_numpy(labels)
