"""Match found objects with true ones: for F1, the confusion of classes and an image's mistakes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pocketeye.metrics.objects import NOTHING, FoundObjects, TrueObjects
from pocketeye.results.masks import Masks

IOU = 0.5  # the overlap from which on COCO and VOC call a box right at the earliest
BACKGROUND = "background"


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Matching:
    """Hold the matches of one image.

    Attributes:
        hits: int64 ``(N,)``: the true object of its class that each found one takes, or -1.
        ignored: bool ``(N,)``: lies in a crowd of its class and counts for nothing.
        confused: int64 ``(N,)``: the true object of another class that it lies on, or -1.
    """

    hits: np.ndarray
    ignored: np.ndarray
    confused: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistakes:
    """Count, in an image, objects ``right``, of a ``wrong`` class, ``missed``, and found in excess."""

    right: int
    wrong: int
    missed: int
    superfluous: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1; 1 for an empty image left empty."""
        all_ = 2 * (self.right + self.wrong) + self.missed + self.superfluous
        return 2 * self.right / all_ if all_ else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class MatchReport:
    """Found objects of at least ``score``, where F1 over all classes is highest, at an IoU of 0.5.

    Attributes:
        score: the least score, 0 where nothing is right at any.
        precision, recall, f1: over the objects of all classes, 0 to 1. Precision is nan where nothing
            is found, the other two where nothing is true.
        confusion: int64 ``(K + 1, K + 1)``, true and predicted class; the last is the background.
        images: mistakes by image.
    """

    score: float
    precision: float
    recall: float
    f1: float
    confusion: np.ndarray
    images: dict[int | str, Mistakes]


def match_report(
    truths: Mapping[int | str, TrueObjects],
    found: Mapping[int | str, FoundObjects],
    num_classes: int,
) -> MatchReport:
    """Match all images, by masks where both sides have them and by boxes elsewhere."""
    matched = {name: match(truth, found.get(name, NOTHING)) for name, truth in truths.items()}
    total = sum(int(np.count_nonzero(~truth.crowd)) for truth in truths.values())
    score = _best_score(found, matched, total)
    confusion = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    images = {}
    for name, truth in truths.items():
        # Matched anew: without the unsure ones, a sure one may take another object.
        sure = found.get(name, NOTHING).above(score)
        cells = _cells(truth, sure, match(truth, sure), num_classes)
        confusion += cells
        images[name] = _mistakes(cells)
    right = int(np.trace(confusion))
    named, true = int(confusion[:, :-1].sum()), int(confusion[:-1].sum())
    return MatchReport(
        score=score,
        precision=right / named if named else math.nan,
        recall=right / true if true else math.nan,
        f1=2 * right / (named + true) if true else math.nan,
        confusion=confusion,
        images=images,
    )


def match(truth: TrueObjects, found: FoundObjects, iou: float = IOU) -> Matching:
    """Give each found object, by falling score, the free true one of its class it overlaps most."""
    table = overlaps(truth, found)
    hits, confused = (np.full(len(found), -1, np.int64) for _ in range(2))
    same = found.labels[:, None] == truth.labels[None]
    # Nobody can find a crowd: it is never taken.
    free = ~truth.crowd
    for index in np.argsort(-found.scores, kind="stable"):
        # -1: never enough, whatever the overlap.
        offered = np.where(free & same[index], table[index], -1.0)
        if len(offered) and offered.max() >= iou:
            hits[index] = offered.argmax()
            free[hits[index]] = False
    ignored = (hits < 0) & ((table >= iou) & same & truth.crowd).any(axis=1)
    # what is left: the largest overlaps first, whatever the class
    rest = np.where((free & ~same) & ((hits < 0) & ~ignored)[:, None], table, -1.0)
    while rest.size and rest.max() >= iou:
        index, partner = np.unravel_index(int(rest.argmax()), rest.shape)
        confused[index] = partner
        rest[index], rest[:, partner] = -1.0, -1.0
    return Matching(hits=hits, ignored=ignored, confused=confused)


def overlaps(truth: TrueObjects, found: FoundObjects) -> np.ndarray:
    """Return float64 ``(found, true)``: IoU; of a crowd, how much of the found object lies in it."""
    if truth.masks is not None and found.masks is not None:
        # Masks tell more than boxes: two thin objects that cross share a box.
        both = _shared_pixels(found.masks, truth.masks)
        mine, theirs = found.masks.areas.astype(float), truth.masks.areas.astype(float)
    else:
        low = np.maximum(found.boxes[:, None, :2], truth.boxes[None, :, :2])
        high = np.minimum(found.boxes[:, None, 2:], truth.boxes[None, :, 2:])
        both = np.maximum(high - low, 0).prod(axis=2)
        mine, theirs = (
            (objects.boxes[:, 2:] - objects.boxes[:, :2]).prod(axis=1) for objects in (found, truth)
        )
    union = mine[:, None] + theirs[None] - both
    # COCO: of a crowd the part inside counts, as it is many objects.
    whole = np.where(truth.crowd[None], mine[:, None], union)
    # An empty box overlaps nothing, and must not divide by nothing.
    return both / np.maximum(whole, 1e-9)


def _shared_pixels(found: Masks, truth: Masks) -> np.ndarray:
    counts = [[mine.intersection(theirs) for theirs in truth] for mine in found]
    return np.asarray(counts, np.float64).reshape(len(found), len(truth))


def _best_score(
    found: Mapping[int | str, FoundObjects],
    matched: Mapping[int | str, Matching],
    total: int,
) -> float:
    """Return the score down to which F1 is highest; the highest such score."""
    counted = [~matching.ignored for matching in matched.values()]
    guesses = [found.get(name, NOTHING).scores for name in matched]
    hits = [matching.hits >= 0 for matching in matched.values()]
    # The empty array keeps the type where there are no images.
    keep = np.concatenate([*counted, np.zeros(0, bool)])
    scores = np.concatenate([*guesses, np.zeros(0)])[keep]
    right = np.concatenate([*hits, np.zeros(0, bool)])[keep]
    if not right.any():
        return 0.0
    order = np.argsort(-scores, kind="stable")
    scores, f1 = scores[order], 2 * np.cumsum(right[order]) / (np.arange(1, len(order) + 1) + total)
    # Only after the last of equal scores: no threshold lies between them.
    last = np.append(scores[1:] != scores[:-1], True)  # equal scores come in together
    return float(scores[np.where(last, f1, -1).argmax()])


def _cells(
    truth: TrueObjects, found: FoundObjects, matching: Matching, num_classes: int
) -> np.ndarray:
    cells = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    partner = np.where(matching.hits >= 0, matching.hits, matching.confused)
    kept = ~matching.ignored
    true = np.full(len(found), num_classes)
    true[partner >= 0] = truth.labels[partner[partner >= 0]]
    # Ignored objects lie in crowds: they are neither right nor wrong.
    np.add.at(cells, (true[kept], found.labels[kept]), 1)
    missed = ~truth.crowd
    missed[partner[partner >= 0]] = False
    np.add.at(cells, (truth.labels[missed], num_classes), 1)
    return cells


def _mistakes(cells: np.ndarray) -> Mistakes:
    right = int(np.trace(cells))
    return Mistakes(
        right=right,
        wrong=int(cells[:-1, :-1].sum()) - right,
        missed=int(cells[:-1, -1].sum()),
        superfluous=int(cells[-1, :-1].sum()),
    )


def with_background(classes: Sequence[str]) -> tuple[str, ...]:
    """Return names of the rows and columns of a :class:`MatchReport`'s confusion."""
    return (*classes, BACKGROUND)
