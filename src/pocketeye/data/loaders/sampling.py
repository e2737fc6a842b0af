"""Sample an epoch, and batches of several input sizes, from (seed, epoch).

Lightning calls ``loader.sampler.set_epoch`` (or that of the batch sampler's ``sampler``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue


class Key(NamedTuple):
    """Hold one sample of a batch.

    ``sample`` -1 stands for filler; ``seed`` is that of the augmentation; ``scale`` is the place of
    the input size among those of a multi-scale training.
    """

    sample: int
    seed: int
    scale: int | None = None


class EpochSampler(Sampler[Key]):
    """Give the samples of this process, each with the seed of its augmentation.

    Processes get equally many: with ``shuffle`` a few samples come twice, or, with ``once``, a few
    are left out; without ``shuffle`` there is filler.
    """

    def __init__(self, length: int, *, shuffle: bool, seed: int, once: bool = False) -> None:
        self.length, self.shuffle, self.seed, self.once = length, shuffle, seed, once
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        processes = rank_and_world()[1]
        return self.length // processes if self.once else math.ceil(self.length / processes)

    def __iter__(self) -> Iterator[Key]:
        rank, world = rank_and_world()
        # Seeds of numpy are not negative, and a recipe's may be.
        rng = np.random.default_rng((self.seed % (1 << 63), self.epoch))
        order = rng.permutation(self.length) if self.shuffle else np.arange(self.length)
        # For all samples, whoever reads them: so the number of processes changes no augmentation.
        seeds = rng.integers(1 << 62, size=self.length)
        # A batch of several sizes that came twice would be learnt twice.
        if self.once:
            order = order[: len(self) * world]
        if missing := -len(order) % world:
            filler = order[:missing] if self.shuffle else np.full(missing, -1)
            order = np.concatenate([order, filler])
        for index in order[rank::world]:
            yield Key(int(index), int(seeds[index]))


class MultiScaleBatches(Sampler[list[Key]]):
    """Give batches of several input sizes, each with the number of images that goes with it.

    Every epoch has the same batches in another order: each size equally often, as far as the samples
    reach. So the length is the same in every epoch, and known; all processes draw the same sizes.
    (The official CAS-ViT sampler draws sizes freely and gives as its length that of the base size.)

    Args:
        length: samples in all.
        batches: batch size for each input size, per process.
        seed: of the samples' and the sizes' order.

    Raises:
        InvalidValue: a process has too few samples for one batch of each size.
    """

    def __init__(self, length: int, batches: Sequence[int], *, seed: int) -> None:
        self.sampler = EpochSampler(length, shuffle=True, seed=seed, once=True)
        self.batches, self.seed = tuple(batches), seed
        if sum(batches) > len(self.sampler):
            raise InvalidValue(
                f"multi_scale needs a batch of each size in an epoch, {sum(batches)} images in all, "
                f"but a process has {len(self.sampler)}: give smaller batches or fewer sizes"
            )

    def __len__(self) -> int:
        return len(self._scales())

    def __iter__(self) -> Iterator[list[Key]]:
        # The 1 keeps this order apart from that of the samples, of the same seed and epoch.
        rng = np.random.default_rng((self.seed % (1 << 63), self.sampler.epoch, 1))
        keys = iter(self.sampler)
        for scale in rng.permutation(self._scales()).tolist():
            yield [Key(key.sample, key.seed, scale) for key in islice(keys, self.batches[scale])]

    def _scales(self) -> list[int]:
        """Return the places of the sizes of an epoch's batches, unshuffled."""
        rounds, left = divmod(len(self.sampler), sum(self.batches))
        scales = list(range(len(self.batches))) * rounds
        for scale, batch in enumerate(self.batches):
            if batch <= left:
                scales.append(scale)
                left -= batch
        return scales
