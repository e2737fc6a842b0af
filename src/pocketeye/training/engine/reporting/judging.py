"""Tell from the rows of ``metrics.csv`` alone whether a training's result can be taken at its word.

A resumed run and one of several processes know no more than their rows, so validation logs beside its
metrics what gives a sham away: how much of the truth and of the answers is one class, how many objects
there were, and how many were found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pocketeye.doubts import Doubt
from pocketeye.metrics import wilson_interval
from pocketeye.metrics.doubts import CHECK_LABELS, LEARN, no_objects

ONE_CLASS, ONE_ANSWER = "val/commonest_class", "val/commonest_answer"
"""Columns: share of the truth that is the commonest class, share of the answers that are one class."""
NUM_OBJECTS, NUM_FOUND = "val/num_objects", "val/num_found"
"""Columns: objects that are true, and objects found with a score of at least :data:`SURE`."""
PIXELS = "val/accuracy"
"""Column: share of the pixels that are right, of a segmenter."""
LOSS = "val/loss"
"""Column: the loss in validation; infinite or nan where the network's outputs are."""
SURE = 0.3
"""The score from which an object is shown, as in ``pocketeye predict``."""
# As in evaluation: below it objects are found by luck.
_HARDLY = 0.05

Row = Mapping[str, float]


def shares(true: np.ndarray, said: np.ndarray) -> dict[str, float]:
    """Return the two columns of a classifier or segmenter; nan where there is nothing.

    Args:
        true: samples of each class, ``(num_classes,)``.
        said: answers of each class.
    """
    pairs = ((ONE_CLASS, true), (ONE_ANSWER, said))
    return {name: float(x.max() / x.sum()) if x.sum() else math.nan for name, x in pairs}


def best_row(rows: Sequence[Row], key: str) -> Row:
    """Return the row with the highest value; the last one where no epoch has any."""
    # NaN is neither higher nor lower than anything.
    known = [row for row in rows if math.isfinite(row[key])]
    return max(known, key=lambda row: row[key]) if known else rows[-1]


def chance_of(row: Row, num_classes: int | None) -> str:
    """Return what a network reaches that learnt nothing, in words; empty where there are no classes."""
    if not num_classes or not math.isfinite(row.get(ONE_CLASS, math.nan)):
        return ""
    of = " of the pixels" if PIXELS in row else ""
    return (
        f"chance: {100 / num_classes:.1f} %{of} by guessing among {num_classes} classes, "
        f"{100 * row[ONE_CLASS]:.1f} % by always saying the commonest"
    )


def doubts_of_training(
    row: Row, key: str, label: str, *, num_classes: int | None, num_val: int | None
) -> tuple[Doubt, ...]:
    """Judge the best epoch.

    Args:
        row: of ``metrics.csv``.
        key, label: the metric that counts, and its words.
        num_classes: of a classifier or segmenter.
        num_val: images that were validated on.
    """
    return tuple(_doubts(row, key, label, num_classes, num_val))


def _doubts(
    row: Row, key: str, label: str, num_classes: int | None, num_val: int | None
) -> Iterator[Doubt]:
    value = row[key]
    if row.get(NUM_OBJECTS) == 0:
        yield no_objects(num_val or 0)
        return
    if not math.isfinite(value):
        yield Doubt(
            what=f"there is no {label}",
            seen="nothing in the validation set can be judged, so the last epoch was kept",
            remedy="validate on samples with something to find",
        )
        return
    if not math.isfinite(row.get(LOSS, 0.0)):
        yield Doubt(
            what="the network computes no numbers",
            seen=f"the loss in validation is {row[LOSS]:g}, though that in training was finite",
            remedy="train with a lower --lr, or with a larger --batch-size: of a single image BN "
            "learns wrong statistics",
        )
        return
    if row.get(ONE_CLASS) == 1:
        yield Doubt(
            what="validation has a single class",
            seen=f"always saying it is right in 100 %: {label} {100 * value:.1f} % tells little",
            remedy="validate on samples of every class",
        )
        return
    if row.get(ONE_ANSWER) == 1:
        yield Doubt(
            what="one class is said of everything",
            seen="all answers in validation are alike; the commonest class has "
            f"{100 * row.get(ONE_CLASS, math.nan):.1f} %",
            remedy=f"{CHECK_LABELS}, {LEARN}",
        )
    elif num_classes and num_val and _at_chance(value, num_val, num_classes, row):
        yield Doubt(
            what="no better than chance",
            seen=f"{_reached(row, label, value)} on {num_val} images; {chance_of(row, num_classes)}",
            remedy=f"{CHECK_LABELS}, {LEARN}; with few images validate on more",
        )
    elif num_classes is None and value < _HARDLY:
        found = f", {row[NUM_FOUND]:.0f} objects found" if NUM_FOUND in row else ""
        yield Doubt(
            what="hardly anything is found",
            seen=f"{label} {100 * value:.2f} %{found} (score {SURE} or more)"
            if found
            else f"{label} {100 * value:.2f} %",
            remedy=f"{CHECK_LABELS}, {LEARN}",
        )


def _reached(row: Row, label: str, value: float) -> str:
    if PIXELS not in row:
        return f"{label} {100 * value:.1f} %"
    return f"{100 * row[PIXELS]:.1f} % of the pixels right ({label} {100 * value:.1f} %)"


def _at_chance(value: float, num_val: int, num_classes: int, row: Row) -> bool:
    """Tell whether the share of right answers reaches chance: of images with its 95 % interval."""
    # Either guessing or the commonest class, whichever is better.
    level = max(1 / num_classes, row.get(ONE_CLASS, 0.0))
    if PIXELS in row:  # millions, and no trials of their own
        return row[PIXELS] <= level
    return wilson_interval(round(value * num_val), num_val)[0] <= level
