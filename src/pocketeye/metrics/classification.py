"""Measure accuracy, its uncertainty, confusion and calibration of a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pocketeye.metrics.chance import Chance

_ROUNDING = 1e-6  # float32 has seven digits


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassRow:
    """Hold one class: ``recall`` of its ``n`` samples, ``precision`` of what was called by its name.

    A ratio without samples is None.
    """

    name: str
    n: int
    correct: int
    recall: float | None
    precision: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfidenceBin:
    """Count predictions of a confidence from ``low`` to ``high``, and how right they were.

    ``confidence`` is their mean; it and ``accuracy`` are None in an empty bin.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """Say that ``n`` samples of the class ``true``, which has ``of``, were called ``predicted``."""

    true: str
    predicted: str
    n: int
    of: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ConfusionTable:
    """Count how often what is of one class was called by the name of another.

    Attributes:
        names: of the rows and columns.
        counts: int64 ``(true, predicted)``.
    """

    names: tuple[str, ...]
    counts: np.ndarray

    def confused(self, count: int = 10) -> list[Confusion]:
        """Return the commonest mistakes, commonest first."""
        # What is right is no confusion: the diagonal goes.
        wrong = self.counts * (1 - np.eye(len(self.names), dtype=np.int64))
        # Stable: equal counts stay in the order of the classes.
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        totals = self.counts.sum(axis=1)
        return [
            Confusion(
                true=self.names[i],
                predicted=self.names[j],
                n=int(wrong[i, j]),
                of=int(totals[i]),
            )
            for i, j in pairs
            if wrong[i, j]
        ]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassReport:
    """Hold accuracy, confusion and calibration; shares are 0 to 1.

    Attributes:
        interval: 95 % Wilson interval of ``top1``.
        top5: None with five classes or fewer.
        ece: expected calibration error over ``bins``.
        bins: 15 of equal width.
        confusion: int64 ``(true, predicted)``.
        num_undefined: samples whose outputs are not finite: they count as wrong, and are in no row.
        constant: the outputs are the same for all samples, of which there are several.
    """

    n: int
    top1: float
    interval: tuple[float, float]
    top5: float | None
    ece: float
    bins: tuple[ConfidenceBin, ...]
    rows: tuple[ClassRow, ...]
    confusion: np.ndarray
    num_undefined: int = 0
    constant: bool = False

    @property
    def chance(self) -> Chance | None:
        """Return what a network reaches on these samples that has learnt nothing; None without any."""
        return Chance.of(self.confusion.sum(axis=1), [row.name for row in self.rows])

    @property
    def table(self) -> ConfusionTable:
        """Return the confusion with the names of its rows."""
        return ConfusionTable(names=tuple(row.name for row in self.rows), counts=self.confusion)

    def confused(self, count: int = 10) -> list[Confusion]:
        """Return the commonest mistakes, commonest first."""
        return self.table.confused(count)


def wilson_interval(successes: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return Wilson's score interval of a share (E. B. Wilson, 1927); (0, 1) where ``n`` is 0."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    # Wilson's, not the plain one: it stays within 0 and 1 and holds for few samples.
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def confidence_bins(
    confidence: np.ndarray, correct: np.ndarray, bins: int = 15
) -> tuple[ConfidenceBin, ...]:
    """Sort predictions by confidence into bins of equal width over 0 to 1.

    Args:
        confidence: ``(N,)`` probability of the predicted class.
        correct: ``(N,)`` bool.
        bins: how many.
    """
    # A confidence of 1 belongs to the last bin, not to one behind it.
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    rows = []
    for index in range(bins):
        inside = which == index
        n = int(inside.sum())
        rows.append(
            ConfidenceBin(
                low=index / bins,
                high=(index + 1) / bins,
                n=n,
                confidence=float(confidence[inside].mean()) if n else None,
                accuracy=float(correct[inside].mean()) if n else None,
            )
        )
    return tuple(rows)


def calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """Expected calibration error (Naeini 2015, Guo 2017): mean over bins of |accuracy - confidence|."""
    # At least 1: without a sample the error is 0, not a division by 0.
    total = max(1, sum(row.n for row in bins))
    return sum(
        row.n / total * abs(row.accuracy - row.confidence)
        for row in bins
        if row.accuracy is not None and row.confidence is not None
    )


class Tally:
    """Judge batch by batch, so that the logits of a large set need not be kept."""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self._confusion = np.zeros((len(self.classes), len(self.classes)), np.int64)
        self._hits, self._confidence = [np.zeros(0, bool)], [np.zeros(0)]
        self._in_five = self._undefined = 0
        self._least = np.full(len(self.classes), np.inf)
        self._most = -self._least

    def add(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Add logits ``(N, num_classes)`` and int labels ``(N,)``."""
        count = len(self.classes)
        assert logits.shape == (len(labels), count), (logits.shape, len(labels), count)
        # NaN would be the largest to argmax: such an answer counts as wrong.
        finite = np.isfinite(logits).all(axis=1)
        if not finite.all():
            lost = int(np.count_nonzero(~finite))
            self._undefined += lost
            self._hits.append(np.zeros(lost, bool))
            self._confidence.append(np.zeros(lost))
            logits, labels = logits[finite], labels[finite]
            if not len(labels):
                return
        self._least = np.minimum(self._least, logits.min(axis=0))
        self._most = np.maximum(self._most, logits.max(axis=0))
        predicted = logits.argmax(axis=1)
        np.add.at(self._confusion, (labels, predicted), 1)
        self._hits.append(predicted == labels)
        self._confidence.append(softmax(logits).max(axis=1))
        # With five classes or fewer the five likeliest are all of them.
        if count > 5:
            # Partition, not sort: their order does not matter.
            five = np.argpartition(-logits, 4, axis=1)[:, :5]
            self._in_five += int((five == labels[:, None]).any(axis=1).sum())

    def report(self) -> ClassReport:
        """Return the report of everything added; at least one sample."""
        hits, confidence = np.concatenate(self._hits), np.concatenate(self._confidence)
        bins = confidence_bins(confidence, hits)
        return ClassReport(
            n=len(hits),
            top1=float(hits.mean()),
            interval=wilson_interval(int(hits.sum()), len(hits)),
            top5=self._in_five / len(hits) if len(self.classes) > 5 else None,
            ece=calibration_error(bins),
            bins=bins,
            rows=tuple(
                _row(index, name, self._confusion) for index, name in enumerate(self.classes)
            ),
            confusion=self._confusion,
            num_undefined=self._undefined,
            constant=self._is_constant(int(self._confusion.sum())),
        )

    def _is_constant(self, count: int) -> bool:
        """Tell whether the outputs of several samples differ by less than rounding does."""
        if count < 2:
            return False
        # Float32 rounds: equal outputs may differ in the last digit.
        spread = np.max(self._most - self._least)
        return bool(spread <= _ROUNDING * max(1.0, float(np.max(np.abs(self._most)))))


def classification_report(
    logits: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> ClassReport:
    """Judge ``(N, num_classes)`` logits against int ``(N,)`` labels."""
    tally = Tally(classes)
    tally.add(logits, labels)
    return tally.report()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities along the last axis, float64."""
    # Less the largest, or exp overflows; in double, as shares are compared with 1.
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
