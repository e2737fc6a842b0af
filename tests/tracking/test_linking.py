"""Boxes of one frame after another become tracks."""

from __future__ import annotations

import numpy as np
import pytest

from pocketeye.errors import InvalidValue
from pocketeye.results import Result
from pocketeye.tracking.linking import box_iou, link_boxes

SIZE = (200, 100)


def frame(*boxes: tuple[float, ...], labels: str = "") -> Result:
    return Result(
        size=SIZE, boxes=np.array(boxes).reshape(-1, 4), labels=tuple(labels or "a" * len(boxes))
    )


def numbers(*frames: Result, **limits) -> list[tuple[int, ...]]:
    return [result.ids for result in link_boxes(frames, **limits)]


def square(x: float, y: float = 10, side: float = 20) -> tuple[float, ...]:
    return (x, y, x + side, y + side)


def test_iou() -> None:
    a = np.array([[0, 0, 10, 10], [5, 5, 5, 9]])
    b = np.array([[0, 5, 10, 15], [20, 20, 30, 30], [0, 0, 10, 10]])
    assert box_iou(a, b).tolist() == [[1 / 3, 0, 1], [0, 0, 0]]
    assert box_iou(a, b[:0]).shape == (2, 0)


def test_an_object_keeps_its_number_whatever_its_place_in_the_list() -> None:
    found = numbers(
        frame(square(0), square(100)),
        frame(square(104), square(4)),
        frame(square(8), square(150, 60), square(108)),
    )
    assert found == [(1, 2), (2, 1), (1, 3, 2)]


def test_objects_of_other_classes_are_others() -> None:
    assert numbers(frame(square(0), labels="a"), frame(square(0), labels="b")) == [(1,), (2,)]


def test_a_gap_is_bridged_up_to_its_limit() -> None:
    there, gone = frame(square(0)), frame()
    assert numbers(there, gone, gone, there, max_gap=2) == [(1,), (), (), (1,)]
    assert numbers(there, gone, gone, there, max_gap=1) == [(1,), (), (), (2,)]


def test_too_little_overlap_begins_anew() -> None:
    # 10 of 30 columns in common: an IoU of a third
    assert numbers(frame(square(0)), frame(square(10)), min_iou=0.3) == [(1,), (1,)]
    assert numbers(frame(square(0)), frame(square(10)), min_iou=0.4) == [(1,), (2,)]
    # an IoU of nothing is no overlap, whatever the limit
    assert numbers(frame(square(0)), frame(square(100)), min_iou=0) == [(1,), (2,)]


def test_pairs_are_the_best_together() -> None:
    """The second object's new box overlaps more with the first's: 14 of 26 against 12 of 28 columns.

    Taking that pair would leave 8 of 32 columns without a partner: 0.43 + 0.25 is more than 0.54.
    """
    frames = frame(square(0), square(14)), frame(square(8), square(26))
    assert numbers(*frames, min_iou=0.2) == [(1, 2), (1, 2)]
    assert numbers(*frames, min_iou=0.3) == [(1, 2), (2, 3)]


def test_limits() -> None:
    with pytest.raises(InvalidValue, match="min_iou"):
        list(link_boxes([], min_iou=2))
    with pytest.raises(InvalidValue, match="max_gap"):
        list(link_boxes([], max_gap=-1))
