"""Which found object is which true one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pocketeye.metrics.matching import match, match_report, overlaps, with_background
from pocketeye.metrics.objects import found_objects, true_objects
from tests.metrics.random_objects import random_images

A, B, C, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [0, 50, 10, 60]


def test_matching_by_score() -> None:
    truth = true_objects([A, B], [0, 1])
    found = found_objects([[0, 0, 10, 9], A, B, FAR], [0, 0, 0, 1], [0.9, 0.8, 0.7, 0.6])
    matching = match(truth, found)
    assert matching.hits.tolist() == [0, -1, -1, -1]  # the surer one, though it overlaps less
    assert matching.confused.tolist() == [-1, -1, 1, -1]
    assert not matching.ignored.any()


def test_a_crowd_takes_what_lies_in_it() -> None:
    truth = true_objects([[0, 0, 50, 50], C], [0, 0], crowd=[True, False])
    found = found_objects([A, B, C, [60, 0, 70, 10]], [0, 1, 0, 0], [0.9, 0.8, 0.7, 0.6])
    assert overlaps(truth, found)[0].tolist() == [1, 0]
    matching = match(truth, found)
    assert matching.ignored.tolist() == [True, False, False, False]
    assert matching.hits.tolist() == [-1, -1, 1, -1]


def test_confusion_with_a_background() -> None:
    truths = {"x": true_objects([A, B, C], [0, 1, 1]), "y": true_objects([], [])}
    found = {
        "x": found_objects([A, B, FAR], [0, 0, 1], [0.9, 0.8, 0.7]),
        "y": found_objects([A], [1], [0.2]),
    }
    report = match_report(truths, found, 2)
    # the score where F1 is best: one of one found and of three true ones, 2/4
    assert (report.score, report.f1) == (0.9, 0.5)
    assert (report.precision, report.recall) == (1, pytest.approx(1 / 3))
    assert report.confusion.tolist() == [[1, 0, 0], [0, 0, 2], [0, 0, 0]]
    assert report.images["x"].missed == 2
    assert report.images["y"].f1 == 1
    assert with_background(("a", "b")) == ("a", "b", "background")


def test_mistakes_of_a_image() -> None:
    truths = {"x": true_objects([A, B, C], [0, 1, 1])}
    found = {"x": found_objects([FAR, B, A], [1, 0, 0], [0.9, 0.8, 0.7])}
    report = match_report(truths, found, 2)
    assert report.score == 0.7
    assert report.confusion.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    mistakes = report.images["x"]
    assert (mistakes.right, mistakes.wrong, mistakes.missed, mistakes.superfluous) == (1, 1, 1, 1)
    assert mistakes.f1 == pytest.approx(report.f1) == pytest.approx(2 / 6)


def test_equal_scores_come_in_together() -> None:
    truths = {1: true_objects([A], [0])}
    found = {1: found_objects([A, B, C], [0, 0, 0], [0.5, 0.5, 0.5])}
    report = match_report(truths, found, 1)
    assert (report.score, report.precision) == (0.5, pytest.approx(1 / 3))


def test_nothing_is_right() -> None:
    report = match_report({1: true_objects([A], [0])}, {1: found_objects([B], [0], [0.5])}, 1)
    assert (report.score, report.f1) == (0, 0)
    assert report.confusion.tolist() == [[0, 1], [1, 0]]
    empty = match_report({1: true_objects([], [])}, {}, 1)
    assert math.isnan(empty.f1)  # no object is true: there is no F1
    assert empty.images[1].f1 == 1


@pytest.mark.parametrize("seed", range(3))
def test_every_object_is_counted_once(seed: int) -> None:
    """By masks here; F1 of the best score is no lower than of any other."""
    truths, found = random_images(seed)
    report = match_report(truths, found, 3)
    total = np.zeros(3, int)
    for truth in truths.values():
        total += np.bincount(truth.labels[~truth.crowd], minlength=3)
    assert report.confusion[:3].sum(axis=1).tolist() == total.tolist()
    assert report.confusion[3, 3] == 0
    for score in (0.0, 0.2, 0.5, 0.8):
        others = {name: objects.above(score) for name, objects in found.items()}
        right = sum(
            int((match(truth, others[name]).hits >= 0).sum())
            for name, truth in truths.items() if name in others
        )  # fmt: skip
        named = sum(
            int((~match(truth, others[name]).ignored).sum())
            for name, truth in truths.items() if name in others
        )  # fmt: skip
        assert 2 * right / (named + total.sum()) <= report.f1 + 1e-12
