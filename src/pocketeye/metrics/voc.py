"""Average precision of boxes as Pascal VOC defines it (M. Everingham et al., IJCV 2010 and 2015).

By falling score a found box is right if the true box of its class that it overlaps most overlaps it by
at least 0.5 and was not taken yet; one whose best true box is ``difficult`` counts for nothing. VOC
2007 averages the best precision at or beyond the recalls 0, 0.1, … 1; from 2010 on it is the area
under precision made monotonous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pocketeye.metrics.matching import overlaps
from pocketeye.metrics.objects import NOTHING, FoundObjects, TrueObjects

IOU = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class VocReport:
    """Hold VOC's numbers: 0 to 1, nan for a class without objects; means are over the other classes.

    Attributes:
        ap_2007: float64 ``(K,)``, eleven points.
        ap_2010: float64 ``(K,)``, area.
    """

    ap_2007: np.ndarray
    ap_2010: np.ndarray

    @property
    def map_2007(self) -> float:
        return _mean(self.ap_2007)

    @property
    def map_2010(self) -> float:
        return _mean(self.ap_2010)


def voc_ap(
    truths: Mapping[int | str, TrueObjects],
    found: Mapping[int | str, FoundObjects],
    num_classes: int,
) -> VocReport:
    """See the top of this file. Crowds, which VOC does not know, are taken as difficult."""
    marks = [_image(truth, found.get(name, NOTHING)) for name, truth in truths.items()]
    scores, labels, right, counted = (
        # An empty array of each kind: sets without a found box keep their types.
        np.concatenate([*column, np.zeros(0, kind)])
        for column, kind in zip(zip(*marks, strict=True), (float, int, bool, bool), strict=True)
    )
    totals = np.zeros(num_classes, np.int64)
    for truth in truths.values():
        # Difficult objects may be found or not: neither counts.
        easy = truth.labels[~(truth.difficult | truth.crowd)]
        totals += np.bincount(easy, minlength=num_classes)
    both = np.full((2, num_classes), np.nan)
    for label in np.flatnonzero(totals):
        mine = np.flatnonzero((labels == label) & counted)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        both[:, label] = _both(right[mine], int(totals[label]))
    return VocReport(ap_2007=both[0], ap_2010=both[1])


def _image(
    truth: TrueObjects, found: FoundObjects
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, labels, and whether each found box is right and counts at all."""
    # Without masks: VOC judges boxes.
    boxes = FoundObjects(boxes=found.boxes, labels=found.labels, scores=found.scores)
    table = overlaps(_without_crowds(truth), boxes)
    table = np.where(found.labels[:, None] == truth.labels[None], table, -1.0)
    right, counted = np.zeros(len(found), bool), np.ones(len(found), bool)
    lenient = truth.difficult | truth.crowd
    taken = np.zeros(len(truth), bool)
    for index in np.argsort(-found.scores, kind="stable"):
        if not len(truth) or table[index].max() < IOU:
            continue
        best = int(table[index].argmax())
        counted[index] = not lenient[best]
        # A second box on an object is a mistake, as in VOC's code.
        right[index] = counted[index] and not taken[best]
        taken[best] = True
    return found.scores, found.labels, right, counted


def _without_crowds(truth: TrueObjects) -> TrueObjects:
    """Return the same boxes, their overlaps plain IoU."""
    return TrueObjects(
        boxes=truth.boxes,
        labels=truth.labels,
        crowd=np.zeros(len(truth), bool),
        difficult=truth.difficult,
        areas=truth.areas,
    )


def _both(right: np.ndarray, total: int) -> tuple[float, float]:
    """AP of 2007 and of 2010 of found boxes in the order of their scores."""
    hits = np.cumsum(right)
    best = np.maximum.accumulate((hits / np.arange(1, len(hits) + 1))[::-1])[::-1]
    # k/10 of recall in whole numbers: 0.3 is not 3 times 0.1 to a computer
    firsts = [int(np.searchsorted(hits * 10, tenth * total)) for tenth in range(11)]
    eleven = [float(best[first]) if first < len(best) else 0.0 for first in firsts]
    return float(np.mean(eleven)), float(best[right].sum() / total)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
