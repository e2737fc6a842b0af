"""A confidence that was checked against truth, and the warnings that are made of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from benchmarks.track_confidence import auc, confidence, fitted, judged

from pocketeye.errors import InvalidValue
from pocketeye.models.tam.checkpoints import bundled_weights
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.runs import sha256_of
from pocketeye.tracking.video.confidence import (
    ConfidenceCurve,
    beside,
    curve_of,
    doubts_of_rows,
    spans,
)
from pocketeye.tracking.video.signals import Signals, signals_of
from tests.tracking.trackers import make_tracker, moving


def curve(**changes) -> ConfidenceCurve:
    values = {
        "weights_sha256": "",
        "weights": {"score": 1.0},
        "intercept": -2.0,
        "fitted_on": "toys",
    }
    return ConfidenceCurve(**{**values, **changes})


def test_signals_of_a_mask():
    mask = np.full((1, 1, 4, 4), -5.0)
    mask[..., :2, :] = 3
    mask[..., 2, 0] = 0.5  # inside, but hardly
    before = np.full((1, 1, 4, 4), -5.0)
    before[..., :3, :] = 3
    got = signals_of(mask, 1.5, 0.7, before)
    assert got == Signals(score=1.5, iou=0.7, stability=pytest.approx(8 / 9), agreement=9 / 12)
    assert signals_of(mask, 1.5, 0.7).agreement == 1
    empty = np.full((1, 1, 4, 4), -5.0)
    assert signals_of(empty, -1, 0.1, empty) == Signals(-1, 0.1, 1, 1)


def test_a_curve_rises_with_its_signals():
    low, high = (curve().of(Signals(score, 0.5, 1, 1)) for score in (0.0, 4.0))
    assert low == pytest.approx(1 / (1 + math.exp(2)))
    assert high == pytest.approx(1 / (1 + math.exp(-2)))
    assert curve().of(Signals(math.nan, 0.5, 1, 1)) == 0


def test_a_curve_belongs_to_its_weights(tmp_path, caplog):
    weights = tmp_path / "nano.safetensors"
    weights.write_bytes(b"these")
    assert curve_of(weights) is None
    assert curve_of(None) is None
    mine = curve(weights_sha256=sha256_of(weights))
    assert mine.save(weights) == tmp_path / "nano.confidence.json"
    assert curve_of(weights) == mine
    weights.write_bytes(b"others")
    assert curve_of(weights) is None
    assert "other weights" in caplog.text


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"weights": {}}', '{"weights_sha256": "", "weights": {"luck": 1}, '
             '"intercept": 0, "fitted_on": ""}', '{"weights_sha256": "", "weights": {"score": "a"}, '
             '"intercept": 0, "fitted_on": ""}']
)  # fmt: skip
def test_a_damaged_curve_is_one_sentence(tmp_path, text):
    weights = tmp_path / "nano.safetensors"
    weights.write_bytes(b"these")
    beside(weights).write_text(text)
    with pytest.raises(InvalidValue, match="curve"):
        curve_of(weights)


def test_the_bundled_tracker_has_a_curve_of_its_weights():
    weights = bundled_weights(DEFAULT_TRACKER)
    assert weights is not None
    stored = json.loads(beside(weights).read_text())
    again = "new weights: run benchmarks/track_confidence.py, follow and fit"
    assert stored["weights_sha256"] == sha256_of(weights), again
    assert all(value >= 0 for value in stored["weights"].values())


def test_a_session_gives_confidence_where_there_is_a_curve():
    tracker = make_tracker()
    with tracker.open(moving(3)) as session:
        shown = session.add(1, points=[[30, 40]])
        assert shown.confidence is None
        assert shown.table()[0]["confidence"] is None
        assert len(shown.signals) == 1
    tracker.confidence = curve(weights={"agreement": 2.0}, intercept=-1.0)
    with tracker.open(moving(3)) as session:
        session.add(1, points=[[30, 40]])
        for result in session.run():
            [signals], [sure] = result.signals, result.confidence
            assert sure == pytest.approx(1 / (1 + math.exp(1 - 2 * signals.agreement)), abs=1e-6)
            assert result.table()[0]["confidence"] == pytest.approx(sure, abs=1e-4)
            assert result.to_coco()[0]["confidence"] == pytest.approx(sure, abs=1e-4)


def rows(*confidence: float | None, area: int = 9) -> list[dict]:
    return [
        {"frame": n, "objects": [{"id": 1, "area": area, "confidence": c}]}
        for n, c in enumerate(confidence)
    ]


def test_frames_of_low_confidence_are_named():
    [doubt] = doubts_of_rows(rows(0.9, 0.4, 0.3, 0.9, 0.45))
    for words in ("object 1", "3 of 5", "1 to 2, 4", "least in 2 (0.30)", "--object 1:X,Y@1"):
        assert words in str(doubt)
    assert doubts_of_rows(rows(0.9, 0.5)) == []


def test_a_mask_that_is_always_empty_is_said():
    [doubt] = doubts_of_rows(rows(0.9, 0.9, area=0))
    assert "never found" in str(doubt)
    [doubt] = doubts_of_rows(rows(None, None))
    assert "nothing tells" in str(doubt)


def test_spans():
    assert spans([1, 2, 3, 7, 9, 10]) == "1 to 3, 7, 9 to 10"
    assert spans(range(0, 40, 2)).endswith("10 and 14 more stretches")


def test_the_fit_finds_the_signal_and_takes_none_against_its_sense():
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(400, 2))
    right = rng.random(400) < 1 / (1 + np.exp(-(2 * signals[:, 0] - 1 * signals[:, 1] + 0.5)))
    theta = fitted(signals, right, np.ones(400))
    assert theta[1] == 0
    assert 1 < theta[0] < 2.5
    report = judged(confidence(signals, theta), right)
    assert report["auc"] > 0.75
    assert report["ece"] < 0.1
    assert auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])) == 0.75
