"""Accuracy, its uncertainty, confusion and calibration of a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassRow:
    """One class: ``recall`` of its ``n`` samples, ``precision`` of what was called by its name.

    A ratio without samples is None.
    """

    name: str
    n: int
    correct: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassReport:
    """Shares are 0 to 1.

    Attributes:
        interval: 95 % Wilson interval of ``top1``.
        top5: None with five classes or fewer.
        ece: expected calibration error, 15 bins of equal width.
        confusion: int64 ``(true, predicted)``.
    """

    n: int
    top1: float
    interval: tuple[float, float]
    top5: float | None
    ece: float
    rows: tuple[ClassRow, ...]
    confusion: np.ndarray


def wilson_interval(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Wilson's score interval of a share (E. B. Wilson, 1927); (0, 1) where ``n`` is 0."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Naeini 2015, Guo 2017): mean over bins of |accuracy - confidence|.

    Args:
        confidence: ``(N,)`` probability of the predicted class.
        correct: ``(N,)`` bool.
        bins: bins of equal width over 0 to 1.
    """
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for index in range(bins):
        inside = which == index
        if inside.any():
            gap = abs(float(correct[inside].mean()) - float(confidence[inside].mean()))
            error += gap * float(inside.mean())
    return error


def classification_report(
    logits: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> ClassReport:
    """Judge ``(N, num_classes)`` logits against int ``(N,)`` labels."""
    assert logits.shape == (len(labels), len(classes)), (logits.shape, len(labels), len(classes))
    count = len(classes)
    predicted = logits.argmax(axis=1)
    correct = predicted == labels
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    top5 = None
    if count > 5:
        five = np.argpartition(-logits, 4, axis=1)[:, :5]
        top5 = float((five == labels[:, None]).any(axis=1).mean())
    confidence = softmax(logits).max(axis=1)
    return ClassReport(
        n=len(labels),
        top1=float(correct.mean()),
        interval=wilson_interval(int(correct.sum()), len(labels)),
        top5=top5,
        ece=calibration_error(confidence, correct),
        rows=tuple(_row(index, name, confusion) for index, name in enumerate(classes)),
        confusion=confusion,
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis, float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _row(index: int, name: str, confusion: np.ndarray) -> ClassRow:
    hits, n, called = (
        int(confusion[index, index]), int(confusion[index].sum()), int(confusion[:, index].sum()),
    )  # fmt: skip
    return ClassRow(
        name=name,
        n=n,
        correct=hits,
        recall=hits / n if n else None,
        precision=hits / called if called else None,
    )
