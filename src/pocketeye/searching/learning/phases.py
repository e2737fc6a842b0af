"""Divide an epoch into two halves: weights first, then theta, on images of their own."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

from torch import Tensor

from pocketeye.errors import InvalidValue
from pocketeye.searching.batches import Loader


class Phase(IntEnum):
    """Say what a step trains; the value is the number of its optimiser."""

    WEIGHTS = 0
    THETA = 1


PhaseBatch = tuple[int, Tensor, Tensor]
"""The phase, images (B, C, S, S) and labels (B,)."""


class PhaseLoader:
    """Give all batches of ``weights``, then, once warm-up is over, all of ``theta``.

    A batch is (phase, images, labels).

    Args:
        weights: loader of the images that train weights.
        theta: loader of the images that train theta.
        warmup_epochs: epochs without the second half.

    Raises:
        InvalidValue: one of the halves has no batch.
    """

    def __init__(self, weights: Loader, theta: Loader, warmup_epochs: int) -> None:
        for name, loader in (("weights", weights), ("theta", theta)):
            if len(loader) == 0:
                raise InvalidValue(
                    f"too few images for one batch of the half that trains {name}: lower "
                    "batch_size or give more images"
                )
        self.weights, self.theta, self.warmup_epochs = weights, theta, warmup_epochs
        self.epoch = 0

    @property
    def sampler(self) -> PhaseLoader:
        """Itself: Lightning tells the epoch to ``loader.sampler``."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Pass the number of the epoch that begins on to the samplers of both loaders."""
        self.epoch = epoch
        for loader in (self.weights, self.theta):
            tell_epoch(loader, epoch)

    def __len__(self) -> int:
        """Return the batches of an epoch after warm-up (those before are shorter)."""
        return len(self.weights) + len(self.theta)

    def __iter__(self) -> Iterator[PhaseBatch]:
        for images, labels in self.weights:
            yield Phase.WEIGHTS.value, images, labels
        if self.epoch >= self.warmup_epochs:
            for images, labels in self.theta:
                yield Phase.THETA.value, images, labels


def tell_epoch(loader: Loader, epoch: int) -> None:
    """Tell a loader's sampler, which shuffles by it, the number of the epoch that begins."""
    # The sampler sits in the loader or in its batch sampler, by how the loader was made.
    for holder in (loader, getattr(loader, "batch_sampler", None)):
        set_epoch = getattr(getattr(holder, "sampler", None), "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)
