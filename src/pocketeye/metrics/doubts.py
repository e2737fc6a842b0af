"""When an evaluation looks right and is not: chance level, one answer for all, nothing to find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pocketeye.doubts import Doubt
from pocketeye.metrics.chance import Chance
from pocketeye.metrics.classification import ClassReport
from pocketeye.metrics.matching import MatchReport
from pocketeye.metrics.objects import FoundObjects, TrueObjects
from pocketeye.metrics.semantic import SemanticReport
from pocketeye.text import some

LEARN = "train longer, with another learning rate, or begin with trained weights"
CHECK_LABELS = "check that the labels are those of these images"
_HARDLY = 0.05
"""A best F1 below this is that of a detector which finds objects by luck."""
_FEW = 5
"""Samples from which on a class should be said at least once."""
_FLAT, _ALIKE = 1.5, 1e-6
"""A likeliest class below so many times chance is a guess; probabilities that close are equal."""
_SAME_ANSWER = 0.99
"""Share of the answers that may be one class before they are called one class for everything."""


def doubts_of_classes(report: ClassReport) -> tuple[Doubt, ...]:
    """Judge the evaluation of a classifier."""
    return tuple(_of_classes(report))


def _of_classes(report: ClassReport) -> Iterator[Doubt]:
    names = tuple(row.name for row in report.rows)
    true, said = report.confusion.sum(axis=1), report.confusion.sum(axis=0)
    if report.num_undefined:
        yield undefined(report.num_undefined, report.n, "images")
    yield from one_class_only(true, names, "images")
    if report.constant:
        yield Doubt(
            what="the network does not look at the images",
            seen=f"its outputs are the same for all {report.n} of them",
            remedy="it has not learnt, or an export has lost its weights: train or export it anew",
        )
    else:
        alike = list(one_answer(true, said, names, "images"))
        yield from alike or never_said(true, said, names, "images")
    chance = Chance.of(true, names)
    if chance and len(names) > 1 and np.count_nonzero(true) > 1:
        yield from at_chance(report.top1, report.interval, chance, f"{report.n} images")


def undefined(count: int, total: int, unit: str) -> Doubt:
    """Doubt of outputs that are no numbers."""
    return Doubt(
        what="the network computes no numbers",
        seen=f"outputs for {count} of {total} {unit} are nan or infinite",
        remedy="its weights are damaged, or overflow in this precision: try fp32, or train it anew "
        "with a lower --lr",
    )


def one_class_only(true: np.ndarray, names: Sequence[str], unit: str) -> Iterator[Doubt]:
    """Doubt of a set in which only one of several classes occurs."""
    there = np.flatnonzero(true)
    if len(there) == 1:
        of = "the only class there is" if len(names) == 1 else f"1 of {len(names)} classes"
        yield Doubt(
            what=f"the set has {unit} of a single class",
            seen=f"all {int(true.sum()):,} are '{names[there[0]]}', {of}; a network that always says "
            "it is right without looking",
            remedy=f"judge on a set with {unit} of every class",
        )


def one_answer(
    true: np.ndarray, said: np.ndarray, names: Sequence[str], unit: str
) -> Iterator[Doubt]:
    """Doubt of a network that says one class whatever it sees, where several are true."""
    total = int(said.sum())
    # One sample, or one true class: to say one class may well be right.
    if not total or np.count_nonzero(true) < 2 or total < 2:
        return
    best = int(said.argmax())
    share, truly = said[best] / total, true[best] / max(true.sum(), 1)
    # Where nine in ten are of it, saying it nearly always is no sign of failure.
    if share == 1 or (share >= _SAME_ANSWER and truly < 0.9):
        yield Doubt(
            what="one class is said of everything",
            seen=f"{100 * share:.1f} % of {total:,} {unit} are called '{names[best]}', "
            f"{100 * truly:.1f} % are",
            remedy=f"{CHECK_LABELS}, {LEARN}",
        )


def never_said(
    true: np.ndarray, said: np.ndarray, names: Sequence[str], unit: str
) -> Iterator[Doubt]:
    """Doubt of a network that says less than half of the classes which are there."""
    # A class of few samples may be missed by bad luck.
    there = true >= _FEW
    never = there & (said == 0)
    if there.sum() > 2 and never.sum() > there.sum() / 2:
        missing = [name for name, missed in zip(names, never, strict=True) if missed]
        yield Doubt(
            what="most classes are never said",
            seen=f"{len(missing)} of the {int(there.sum())} classes that have {unit}: "
            f"{some(missing)}",
            remedy=f"{CHECK_LABELS}, {LEARN}",
        )


def at_chance(
    value: float, interval: tuple[float, float], chance: Chance, of: str
) -> Iterator[Doubt]:
    """Doubt of a share of right answers that may be luck: its 95 % interval reaches chance."""
    if interval[0] <= chance.level:
        yield Doubt(
            what="no better than chance",
            seen=f"{100 * value:.1f} % of {of} are right (95 %: {100 * interval[0]:.1f} to "
            f"{100 * interval[1]:.1f}); {chance.sentence()}",
            remedy=f"{CHECK_LABELS}, {LEARN}; with few images judge on more",
        )


def doubts_of_pixels(report: SemanticReport) -> tuple[Doubt, ...]:
    """Judge the evaluation of a segmenter."""
    return tuple(_of_pixels(report))


def _of_pixels(report: SemanticReport) -> Iterator[Doubt]:
    names = tuple(row.name for row in report.rows)
    true, said = report.confusion.sum(axis=1), report.confusion.sum(axis=0)
    if not true.sum():
        yield Doubt(
            what="there is nothing to judge on",
            seen="not one pixel of the set has a class",
            remedy="check what the values of the masks mean (--classes)",
        )
        return
    yield from one_class_only(true, names, "pixels")
    absent = [name for name, pixels in zip(names, true, strict=True) if not pixels]
    if absent and len(absent) < len(names) - 1:
        yield Doubt(
            what="the mean is over fewer classes than the network has",
            seen=f"{len(absent)} of {len(names)} have no pixel in this set: {some(absent)}",
            remedy="a mean IoU of another set has other classes in it: compare class by class",
        )
    # Both doubts have the same cause: the first one says enough.
    alike = list(one_answer(true, said, names, "pixels"))
    yield from alike or never_said(true, said, names, "pixels")
    chance = Chance.of(true, names)
    if chance and not alike and np.count_nonzero(true) > 1 and report.accuracy <= chance.share:
        yield Doubt(
            what="no better than chance",
            seen=f"{100 * report.accuracy:.1f} % of the pixels are right; "
            f"{chance.sentence('of the pixels')}",
            remedy=f"{CHECK_LABELS}, {LEARN}",
        )


def doubts_of_objects(
    truths: Mapping[int | str, TrueObjects],
    found: Mapping[int | str, FoundObjects],
    matches: MatchReport,
    classes: Sequence[str],
) -> tuple[Doubt, ...]:
    """Judge the evaluation of a detector."""
    return tuple(_of_objects(truths, found, matches, classes))


def _of_objects(
    truths: Mapping[int | str, TrueObjects],
    found: Mapping[int | str, FoundObjects],
    matches: MatchReport,
    classes: Sequence[str],
) -> Iterator[Doubt]:
    true, said = (_counts(objects.values(), len(classes)) for objects in (truths, found))
    total, num_found = int(true.sum()), int(said.sum())
    odd = sum(int(np.count_nonzero(~np.isfinite(each.scores))) for each in found.values())
    if odd:
        yield undefined(odd, num_found, "objects")
    if not total:
        yield no_objects(len(truths))
        return
    if not num_found:
        yield Doubt(
            what="nothing is found",
            seen=f"no object in {len(truths)} images, where {total} are, at any score",
            remedy=f"{CHECK_LABELS}, {LEARN}",
        )
        return
    absent = [name for name, count in zip(classes, true, strict=True) if not count]
    if absent:
        yield Doubt(
            what="the mean is over fewer classes than there are",
            seen=f"{len(absent)} of {len(classes)} have no object in this set: {some(absent)}",
            remedy="an AP of another set has other classes in it: compare class by class",
        )
    # Two images may be alike; three with the same boxes are not by chance.
    if len(found) > 2 and _alike(list(found.values())):
        yield Doubt(
            what="the network does not look at the images",
            seen=f"the same boxes are found in all {len(found)} of them",
            remedy="it has not learnt, or an export has lost its weights: train or export it anew",
        )
    elif matches.f1 < _HARDLY:
        yield Doubt(
            what="hardly anything is found",
            seen=f"the best F1 at any score is {matches.f1:.3f} (IoU 0.5)",
            remedy=f"{CHECK_LABELS}, {LEARN}",
        )


def doubts_of_answers(
    probabilities: Sequence[Sequence[float]], num_classes: int
) -> tuple[Doubt, ...]:
    """Judge what a classifier says of images whose truth nobody knows.

    Args:
        probabilities: ``(images, k)`` of the likeliest classes of each image, likeliest first.
        num_classes: that there are.
    """
    return tuple(_of_answers(np.asarray(probabilities), num_classes))


def _of_answers(probabilities: np.ndarray, num_classes: int) -> Iterator[Doubt]:
    count = len(probabilities)
    lost = int(np.count_nonzero(~np.isfinite(probabilities).all(axis=1)))
    if lost:
        yield undefined(lost, count, "images")
    # All shares equal would be 1 / classes: at most half as much again is a guess.
    elif num_classes > 1 and probabilities[:, 0].max() < _FLAT / num_classes:
        yield Doubt(
            what="the network is sure of nothing",
            seen=f"its surest answer to {count} images has {100 * probabilities[:, 0].max():.1f} %, "
            f"guessing among {num_classes} classes {100 / num_classes:.1f} %",
            remedy="it has hardly learnt: train it longer, or take trained weights",
        )
    elif count > 2 and np.ptp(probabilities, axis=0).max() < _ALIKE:  # of three or more images
        yield Doubt(
            what="the network does not look at the images",
            seen=f"its probabilities are the same for all {count} of them",
            remedy="it has not learnt, or an export has lost its weights: train or export it anew",
        )


def no_objects(num_images: int) -> Doubt:
    """Doubt of a set in which there is nothing to find."""
    images = "1 image" if num_images == 1 else f"{num_images} images"
    return Doubt(
        what="there is nothing to find",
        seen=f"not one object is annotated in {images}, so there is no AP",
        remedy="check that the annotations are read (pocketeye info --data), or judge on images "
        "with objects",
    )


def _counts(objects: object, num_classes: int) -> np.ndarray:
    counts = np.zeros(num_classes, np.int64)
    for each in objects:  # type: ignore[attr-defined]
        # Crowds are no objects to be found.
        labels = each.labels[~each.crowd] if isinstance(each, TrueObjects) else each.labels
        counts += np.bincount(labels, minlength=num_classes)
    return counts


def _alike(found: Sequence[FoundObjects]) -> bool:
    """Tell whether every image has the same boxes, and some."""
    first = found[0].boxes
    return len(first) > 0 and all(
        each.boxes.shape == first.shape and np.allclose(each.boxes, first, atol=0.5)
        for each in found[1:]
    )
