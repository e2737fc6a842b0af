"""Make training samples follow from (seed, epoch, number): workers and resuming change nothing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

import numpy as np
from torch.utils.data import Dataset

T = TypeVar("T")


class SeededDataset(Dataset[T], ABC, Generic[T]):
    """Draw samples from (seed, epoch, index).

    ``source[index]`` runs on past the length: sample ``i`` of epoch ``e`` is number
    ``e * len(source) + i``. A sampler that counts so needs to tell the workers nothing.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of samples in an epoch."""

    @abstractmethod
    def draw(self, index: int, rng: np.random.Generator) -> T:
        """Sample ``index`` (below the length), with every choice drawn from ``rng``."""

    def __getitem__(self, index: int) -> T:
        epoch, place = divmod(index, len(self))
        # numpy's seeds are not negative; one below zero wraps around.
        return self.draw(place, np.random.default_rng((self.seed % (1 << 63), epoch, place)))

    def __iter__(self) -> Iterator[T]:
        """Iterate over the first epoch."""
        return (self[index] for index in range(len(self)))


def turn(seed: int, number: int, count: int) -> int:
    """Return which of ``count`` things comes as number ``number``.

    Every pass takes each once, shuffled anew.
    """
    passed, place = divmod(number, count)
    # The 2 tells this use of the seed from others.
    order = np.random.default_rng((seed % (1 << 63), passed, 2)).permutation(count)
    return int(order[place])
