"""COCO's average precision written down from its definition, slowly, to be compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pocketeye.metrics.objects import FoundObjects, TrueObjects

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
RANGES = {
    "": (0.0, 1e10), "_small": (0.0, 32.0**2), "_medium": (32.0**2, 96.0**2),
    "_large": (96.0**2, 1e10),
}  # fmt: skip


def coco_by_hand(
    truths: Mapping[int, TrueObjects],
    found: Mapping[int, FoundObjects],
    num_classes: int,
    kind: str = "box",
) -> dict[str, float]:
    """The twelve values of :meth:`pocketeye.metrics.detection.ApReport.values`."""
    values: dict[str, float] = {}
    for suffix, area in RANGES.items():
        table = _table(truths, found, num_classes, kind, area, 100)
        values[f"ap{suffix}"] = _mean([p for row in table for p, _ in row])
        if suffix:
            values[f"ar{suffix}"] = _mean([r for row in table for _, r in row])
    whole = _table(truths, found, num_classes, kind, RANGES[""], 100)
    values["ap50"] = _mean([row[0][0] for row in whole])
    values["ap75"] = _mean([row[5][0] for row in whole])
    for most in (1, 10, 100):
        table = _table(truths, found, num_classes, kind, RANGES[""], most)
        values[f"ar{most}"] = _mean([r for row in table for _, r in row])
    return values


def _mean(values: list[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def _table(truths, found, num_classes, kind, area, most):  # type: ignore[no-untyped-def]
    """AP and highest recall by class and overlap."""
    return [
        [_one(truths, found, label, kind, area, most, iou) for iou in IOUS]
        for label in range(num_classes)
    ]


def _one(truths, found, label, kind, area, most, iou):  # type: ignore[no-untyped-def]
    marks: list[tuple[float, bool]] = []
    total = 0
    for name in sorted(truths):
        scored, count = _image(truths[name], found.get(name), label, kind, area, most, iou)
        marks += scored
        total += count
    if not total:
        return float("nan"), float("nan")
    marks.sort(key=lambda mark: -mark[0])
    right = np.cumsum([hit for _, hit in marks])
    precisions = [float(hits) / (place + 1) for place, hits in enumerate(right)]
    recalls = [float(hits) / total for hits in right]
    points = []
    for wanted in RECALLS:
        reached = [p for p, r in zip(precisions, recalls, strict=True) if r >= wanted]
        points.append(max(reached, default=0.0))
    return float(np.mean(points)), max(recalls, default=0.0)


def _image(truth, guess, label, kind, area, most, iou):  # type: ignore[no-untyped-def]
    """(score, right) of the found objects that count, and the number of true ones that do."""
    own = [i for i in range(len(truth)) if truth.labels[i] == label]
    outside = {i: not area[0] <= truth.areas[i] <= area[1] for i in own}
    ignored = {i: bool(truth.crowd[i]) or outside[i] for i in own}
    count = sum(not ignored[i] for i in own)
    if guess is None:
        return [], count
    mine = [j for j in range(len(guess)) if guess.labels[j] == label]
    mine = sorted(mine, key=lambda j: -guess.scores[j])[:most]
    taken: set[int] = set()
    marks = []
    for j in mine:
        best, partner = min(iou, 1 - 1e-10), None
        for i in sorted(own, key=lambda i: ignored[i]):  # what counts is offered first
            if i in taken and not truth.crowd[i]:
                continue
            if partner is not None and not ignored[partner] and ignored[i]:
                break
            overlap = _overlap(truth, i, guess, j, kind)
            if overlap >= best:
                best, partner = overlap, i
        if partner is not None:
            taken.add(partner)
            if not ignored[partner]:
                marks.append((float(guess.scores[j]), True))
        elif area[0] <= _area(guess, j, kind) <= area[1]:
            marks.append((float(guess.scores[j]), False))
    return marks, count


def _area(guess, j, kind):  # type: ignore[no-untyped-def]
    if kind == "mask":
        return guess.masks[j].area
    x0, y0, x1, y1 = guess.boxes[j]
    return (x1 - x0) * (y1 - y0)


def _overlap(truth, i, guess, j, kind):  # type: ignore[no-untyped-def]
    """Intersection over union; in a crowd over the found object alone."""
    if kind == "mask":
        both = float(truth.masks[i].intersection(guess.masks[j]))
        mine, theirs = float(truth.masks[i].area), float(guess.masks[j].area)
    else:
        a, b = truth.boxes[i], guess.boxes[j]
        width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
        height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        both = width * height
        mine, theirs = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    whole = theirs if truth.crowd[i] else mine + theirs - both
    return both / whole if whole else 0.0
