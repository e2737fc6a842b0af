"""Results become ``supervision.Detections`` and come back."""

from __future__ import annotations

import numpy as np
import pytest

from pocketeye.errors import InvalidType
from pocketeye.results import Masks, Result
from pocketeye.results.supervision import from_supervision, to_supervision


def found(*, masks: bool) -> Result:
    dense = np.zeros((2, 6, 8), bool)
    dense[0, 1:3, 2:5] = dense[1, 4:, 6:] = True
    both = Masks.from_dense(dense)
    return Result(
        size=(8, 6), masks=both if masks else None, boxes=both.boxes, scores=np.array([0.5, 0.25]),
        object_ids=(3, 9), labels=("dog", "cat"), class_ids=(1, 0),
    )  # fmt: skip


@pytest.mark.parametrize("masks", [True, False])
def test_a_result_comes_back(masks: bool) -> None:
    pytest.importorskip("supervision")
    result = found(masks=masks)
    detections = to_supervision(result)
    assert len(detections) == 2
    assert detections.tracker_id.tolist() == [3, 9]
    again = from_supervision(detections, (8, 6))
    assert again.table() == result.table()
    assert again.class_ids == (1, 0)
    assert again.masks == result.masks


def test_what_is_none_is_refused() -> None:
    with pytest.raises(InvalidType, match=r"supervision\.Detections, got list"):
        from_supervision([], (8, 6))
