"""Measure how right networks are, and how far two of them are apart on the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pocketeye.metrics.semantic import MeanIoU, mean_iou_of_totals, pixel_totals
from pocketeye.models.dense.semantic_fpn import resize

Counts = NDArray[Any]
"""What is kept of every image: (images,) right or wrong, or (images, 3, classes) pixels."""
# A standard error from 1000 resamples is itself known to about two per cent.
_RESAMPLES = 1000


class Metric(Protocol):
    """Make one number between 0 and 1 out of counts per image.

    Attributes:
        name: as people read it.
        key: as files name it.
    """

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    def counts(self, logits: Tensor, labels: Tensor) -> Counts:
        """Return the counts of every image of a batch."""

    def value(self, counts: Counts) -> float:
        """Return the value over all images together."""

    def difference_se(self, ours: Counts, theirs: Counts) -> float | None:
        """Standard error of the difference of two values, paired over the images; None for one."""


@dataclass(frozen=True)
class Top1:
    """Measure the share of images whose class is right."""

    name: str = "top-1"
    key: str = "top1"

    def counts(self, logits: Tensor, labels: Tensor) -> Counts:
        return np.asarray((logits.argmax(1) == labels).cpu())

    def value(self, counts: Counts) -> float:
        return float(counts.mean())

    def difference_se(self, ours: Counts, theirs: Counts) -> float | None:
        return standard_error(ours.astype(np.float64) - theirs.astype(np.float64))


@dataclass(frozen=True)
class PixelIoU:
    """Mean over the classes of intersection over union, of the pixels of all images together.

    Logits are brought to the size of the labels.

    Args:
        num_classes: of the pixels.
    """

    num_classes: int
    name: str = "mean IoU"
    key: str = "miou"

    def counts(self, logits: Tensor, labels: Tensor) -> Counts:
        metric = MeanIoU(tuple(map(str, range(self.num_classes))))
        # Judged at the size of the mask, as in evaluation: a small map would flatter.
        guesses = resize(logits, tuple(labels.shape[-2:])).argmax(1)
        pairs = zip(guesses.cpu(), labels.cpu(), strict=True)
        return np.stack([pixel_totals(metric.update(guess, truth)) for guess, truth in pairs])

    def value(self, counts: Counts) -> float:
        return mean_iou_of_totals(counts.sum(axis=0))

    def difference_se(self, ours: Counts, theirs: Counts) -> float | None:
        """Compare two networks by the bootstrap, on the same images, drawn with replacement."""
        count = len(ours)
        if count < 2:
            return None
        # A fixed seed: the same counts always give the same error.
        rng = np.random.default_rng(0)
        # how often each image was drawn, in every resample
        times = rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES).astype(
            np.float64
        )
        # Counts add up over images, so a resample is a weighted sum and needs no second pass.
        first, second = (
            np.array([mean_iou_of_totals(t) for t in np.tensordot(times, counts.astype(float), 1)])
            for counts in (ours, theirs)
        )
        return float(np.std(first - second, ddof=1))


def standard_error(values: NDArray[np.float64]) -> float | None:
    """Return the standard error of their mean; None for a single one."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


AGREEMENT = Top1(name="agreement", key="agreement")
"""Top-1 where the labels are a teacher's answers."""
_KEYS = {metric.name: metric.key for metric in (Top1, PixelIoU, AGREEMENT)}


def metric_key(name: str) -> str:
    """Return the key of the metric of that name."""
    return _KEYS[name]
