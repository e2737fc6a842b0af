"""The verdict on final answers, where there is little or nothing to compare."""

from __future__ import annotations

import pytest

from pocketeye.exporting.agreement import Agreement


def agreement(**changes) -> Agreement:
    values = {"num_images": 4, "unit": "objects", "total": 100, "found": 0.95, "num_classes": 3}
    return Agreement(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, "PASS"), ({"found": 0.8}, "WARN"), ({"found": 0.4}, "FAIL"), ({"surplus": 300}, "FAIL"),
     ({"unit": "pixels", "found": 0.99}, "PASS"), ({"unit": "pixels", "found": 0.6}, "WARN")],
)  # fmt: skip
def test_verdicts(changes: dict, status: str) -> None:
    assert agreement(**changes).status == status
    assert agreement(**changes).lines()[0].endswith(status)


def test_nothing_to_find_is_no_pass() -> None:
    nothing = agreement(total=0, found=None, num_classes=0)
    assert nothing.status == "WARN"
    line, doubt = nothing.lines()
    assert "100" not in line
    assert "no object" in line
    assert "nothing was compared" in doubt
    assert nothing.to_dict()["found"] is None
    assert agreement(total=0, found=None, num_classes=0, surplus=50).status == "FAIL"


def test_one_class_everywhere_proves_nothing() -> None:
    one = agreement(unit="pixels", found=1.0, num_classes=1)
    assert one.status == "WARN"
    assert "one class of every pixel" in one.lines()[1]
