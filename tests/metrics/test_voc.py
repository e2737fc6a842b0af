"""VOC's average precision by hand, of 2007 and of 2010."""

from __future__ import annotations

import numpy as np
import pytest

from pocketeye.metrics.objects import FoundObjects, TrueObjects, found_objects, true_objects
from pocketeye.metrics.voc import voc_ap

A, B, C, D = [0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]
FAR = [0, 50, 10, 60]


def of(
    truth: TrueObjects, boxes: list[list[int]], scores: list[float]
) -> tuple[dict[int, TrueObjects], dict[int, FoundObjects]]:
    return {1: truth}, {1: found_objects(boxes, [0] * len(boxes), scores)}


def test_by_hand() -> None:
    # right, wrong, right, taken already, right; four are true: recalls 1/4, 2/4, 3/4
    truths, found = of(
        true_objects([A, B, C, D], [0, 0, 0, 0]), [A, FAR, B, B, C], [0.9, 0.8, 0.7, 0.6, 0.5]
    )
    report = voc_ap(truths, found, 2)
    # precisions 1/1, 2/3, 3/5
    assert report.ap_2010[0] == pytest.approx((1 + 2 / 3 + 3 / 5) / 4)
    # recalls 0, 0.1, 0.2: 1; 0.3, 0.4, 0.5: 2/3; 0.6, 0.7: 3/5; above: 0
    assert report.ap_2007[0] == pytest.approx((3 * 1 + 3 * 2 / 3 + 2 * 3 / 5) / 11)
    assert np.isnan([report.ap_2007[1], report.ap_2010[1]]).all()
    assert report.map_2010 == pytest.approx(report.ap_2010[0])


def test_precision_is_made_monotonous() -> None:
    truths, found = of(true_objects([A, B], [0, 0]), [FAR, A, B], [0.9, 0.8, 0.7])
    report = voc_ap(truths, found, 1)
    assert report.ap_2010[0] == pytest.approx(2 / 3)  # 1/2 at recall 1/2 gives way to 2/3
    assert report.ap_2007[0] == pytest.approx(2 / 3)


def test_tenths_of_recall_are_exact() -> None:
    """3 of 10 is a recall of 0.3, though 0.3 as a float is not 3 * 0.1."""
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(10)]
    truths, found = of(true_objects(boxes, [0] * 10), boxes[:3], [0.9, 0.8, 0.7])
    assert voc_ap(truths, found, 1).ap_2007[0] == pytest.approx(4 / 11)


def test_difficult_objects_and_crowds_count_for_nothing() -> None:
    truth = true_objects([A, B, C], [0, 0, 0], difficult=[False, True, False],
                         crowd=[False, False, True])  # fmt: skip
    truths, found = of(truth, [B, B, C, A], [0.9, 0.8, 0.75, 0.7])
    assert voc_ap(truths, found, 1).ap_2010[0] == 1


def test_the_true_box_that_overlaps_most_decides_though_it_is_taken() -> None:
    truth = true_objects([A, [0, 2, 10, 12]], [0, 0])
    # both found boxes overlap the first most; the second would take the other one if it were asked
    truths, found = of(truth, [A, [0, 0, 10, 11]], [0.9, 0.8])
    assert voc_ap(truths, found, 1).ap_2010[0] == pytest.approx(0.5)


def test_half_an_overlap_is_enough_and_classes_are_apart() -> None:
    truth = true_objects([A, B], [0, 1])
    found = found_objects([[0, 0, 10, 5], B], [0, 0], [0.9, 0.95])
    report = voc_ap({1: truth}, {1: found}, 2)
    assert report.ap_2010.tolist() == [0.5, 0]
    assert report.map_2010 == 0.25


def test_without_finds() -> None:
    report = voc_ap({1: true_objects([A], [0]), 2: true_objects([], [])}, {}, 1)
    assert (report.map_2007, report.map_2010) == (0, 0)
