"""What is said of a search before it begins."""

from __future__ import annotations

import pytest

from pocketeye.searching.estimate import Duration, _about


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2, "a few seconds"), (44, "40 s"), (100, "2 min"), (3000, "50 min"), (7900, "2 h 10 min")],
)
def test_no_finer_than_a_guess(seconds: float, text: str) -> None:
    assert _about(seconds) == text


def test_the_stages_are_named() -> None:
    whole = Duration(search=100.0, derivation=20.0, training=60.0)
    assert whole.total == 180.0
    assert whole.sentence().startswith("this will take about 3 min here: search 2 min, ")
    assert "training" not in Duration(search=1.0, derivation=1.0, training=0.0).sentence()
