"""Agreement of label maps: intersection over union of each class, its mean, and pixel accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketeye.metrics.chance import Chance

IGNORE = 255  # as in Cityscapes and torchvision: no class


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassIou:
    """Hold one class; ``iou`` and ``accuracy`` (the share of its pixels that were found) are 0 to 1.

    None where no pixel is of it: ``iou`` in truth and prediction, ``accuracy`` in truth.
    """

    name: str
    iou: float | None
    accuracy: float | None
    pixels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class SemanticReport:
    """Hold IoU and accuracy of a segmenter; shares are 0 to 1.

    Attributes:
        miou: mean over the classes that occur in truth or prediction.
        macc: mean accuracy of the classes that occur in truth.
        accuracy: share of all pixels that are right.
        rows: one per class.
        confusion: int64 ``(true, predicted)`` in pixels.
    """

    miou: float
    macc: float
    accuracy: float
    rows: tuple[ClassIou, ...]
    confusion: np.ndarray

    @property
    def num_present(self) -> int:
        """Return the number of classes that ``miou`` is the mean of."""
        return sum(row.iou is not None for row in self.rows)

    @property
    def chance(self) -> Chance | None:
        """Return what a network reaches on these pixels that has learnt nothing; None without any."""
        return Chance.of(self.confusion.sum(axis=1), [row.name for row in self.rows])


class MeanIoU:
    """Count pixels map by map; what is true but ignored counts for nothing.

    Args:
        classes: names, in the order of the labels.
        ignore_index: label of what is ignored in the truth.
    """

    def __init__(self, classes: Sequence[str], ignore_index: int = IGNORE) -> None:
        self.classes, self.ignore_index = tuple(classes), ignore_index
        self.confusion = np.zeros((len(self.classes), len(self.classes)), np.int64)

    def update(self, pred: Any, target: Any) -> np.ndarray:
        """Count one map or several of one shape: integers (arrays or tensors), all of ``pred`` labels.

        Returns:
            int64 ``(true, predicted)`` of these alone.
        """
        from torchmetrics.functional.classification import multiclass_confusion_matrix

        guess, truth = (
            (labels if isinstance(labels, Tensor) else torch.from_numpy(np.array(labels))).long()
            for labels in (pred, target)
        )
        assert guess.shape == truth.shape, (guess.shape, truth.shape)
        count = len(self.classes)
        kept = truth[truth != self.ignore_index]
        # A label beyond the classes would be counted in the wrong cell.
        for labels in (guess, kept):
            assert not labels.numel() or 0 <= labels.min() <= labels.max() < count, "no such label"
        counts = np.asarray(
            multiclass_confusion_matrix(
                guess, truth, count, ignore_index=self.ignore_index, validate_args=False
            ).cpu()
        )
        self.confusion += counts
        return counts

    def merge(self, confusion: np.ndarray) -> None:
        """Add the ``confusion`` of another one (of another process)."""
        self.confusion += confusion

    def compute(self) -> dict[str, float]:
        """Return ``miou``, ``macc`` and ``pixel_accuracy``, 0 to 1; nan before the first pixel."""
        report = self.report()
        return {"miou": report.miou, "macc": report.macc, "pixel_accuracy": report.accuracy}

    def report(self) -> SemanticReport:
        """Return the report of everything counted."""
        hits = np.diag(self.confusion)
        # Rows are the truth, columns the prediction.
        true, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        iou, accuracy = _share(hits, true + predicted - hits), _share(hits, true)
        return SemanticReport(
            miou=_mean(iou),
            macc=_mean(accuracy),
            accuracy=float(_share(hits.sum(), true.sum())),
            rows=tuple(
                ClassIou(
                    name=name,
                    iou=_or_none(iou[label]),
                    accuracy=_or_none(accuracy[label]),
                    pixels=int(true[label]),
                )
                for label, name in enumerate(self.classes)
            ),
            confusion=self.confusion.copy(),
        )


def mean_iou_of(confusion: np.ndarray) -> float:
    """Mean IoU over the classes that occur in ``(true, predicted)``; nan where there are none."""
    return mean_iou_of_totals(pixel_totals(confusion))


def pixel_totals(confusion: np.ndarray) -> np.ndarray:
    """Return ``(3, classes)``: pixels that are right, of that class, said to be of it."""
    return np.stack([np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)])


def mean_iou_of_totals(totals: np.ndarray) -> float:
    """Compute the mean IoU from :func:`pixel_totals`, or from sums of them over images."""
    hits, true, predicted = totals
    return _mean(_share(hits, true + predicted - hits))


def _share(part: Any, whole: Any) -> np.ndarray:
    """Their ratio; nan where the whole is nothing."""
    return np.where(np.asarray(whole) > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    # Classes that occur nowhere have no IoU; the mean is over the others.
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
