"""Parity tells a whole artefact from a broken one."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.runtimes import ExportRequest, ParityReport, check_parity, get_runtime
from pocketeye.runtimes.parity import THRESHOLDS, compare
from tests.runtimes.nets import small_net

SHAPE = (1, 3, 16, 16)


@pytest.fixture(scope="module")
def images() -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(0)
    return [(rng.normal(size=SHAPE).astype(np.float32),) for _ in range(32)]


@pytest.fixture(params=["onnxruntime", "torch"])
def broken_and_whole(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[object, object]:
    runtime, net = get_runtime(request.param), small_net()
    whole = runtime.load(
        runtime.export(ExportRequest(net, (torch.zeros(SHAPE),)), tmp_path / "whole")
    )
    with torch.no_grad():
        net[0].weight[3, 1, 1, 1] += 0.5
    return runtime.load(
        runtime.export(ExportRequest(net, (torch.zeros(SHAPE),)), tmp_path / "broken")
    ), whole


def test_pass_and_fail(broken_and_whole: tuple, images: list, tmp_path: Path) -> None:
    broken, whole = broken_and_whole
    net = small_net()
    report = check_parity(net, whole, images, "fp32")
    assert report.status == "PASS"
    assert report.rel < 1e-5
    assert report.top1_agreement == 1.0
    assert report.n == 32
    report = check_parity(net, broken, images, "fp32")
    assert report.status == "FAIL"
    assert report.rel > 1e-3
    assert ParityReport.load(report.save(tmp_path / "parity.json")) == report


def test_sentence() -> None:
    expected = np.eye(10, dtype=np.float32)[[i % 10 for i in range(512)]]
    got = expected + np.float32(3.1e-6)
    report = compare([(expected,)], [(got,)], "fp32", THRESHOLDS["fp32"])
    assert report.lines() == [
        "parity max|Δ| 3.1e-06 · PSNR 110 dB · top-1 agreement 512/512   PASS"
    ]


def test_equal_outputs_have_infinite_psnr(tmp_path: Path) -> None:
    outputs = [(np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2),)]
    report = compare(outputs, outputs, "fp32", THRESHOLDS["fp32"])
    assert report.status == "PASS"
    assert report.top1_agreement is None
    assert math.isinf(report.psnr_db)
    assert report.lines() == ["parity max|Δ| 0.0e+00 · PSNR ∞ dB   PASS"]
    path = report.save(tmp_path / "parity.json")
    assert "Infinity" not in path.read_text()
    assert ParityReport.load(path) == report


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_fails(value: float, tmp_path: Path) -> None:
    expected = np.ones((4, 10), np.float32)
    got = expected.copy()
    got[2, 3] = value
    report = compare([(expected,)], [(got,)], "int8", THRESHOLDS["int8"])
    assert report.status == "FAIL"
    assert math.isnan(ParityReport.load(report.save(tmp_path / "parity.json")).rel)


def test_warning_band() -> None:
    rng = np.random.default_rng(0)
    expected = rng.normal(size=(200, 10)).astype(np.float32)
    expected[np.arange(200), np.arange(200) % 2] += 20
    noise = rng.normal(size=expected.shape)
    for precision, scale, status in (
        ("fp32", 1e-5, "PASS"), ("fp32", 3e-3, "WARN"), ("fp32", 1e-1, "FAIL"),
        ("int8", 0.2, "PASS"), ("int8", 1.8, "WARN"), ("int8", 4.0, "FAIL"),
    ):  # fmt: skip
        got = (expected + scale * noise).astype(np.float32)
        report = compare([(expected,)], [(got,)], precision, THRESHOLDS[precision])  # type: ignore[index, arg-type]
        assert report.status == status, (precision, scale, report)


def test_fp32_needs_the_same_classes() -> None:
    expected = np.zeros((50, 10), np.float32)
    expected[:, 0], expected[:, 1] = 1.0, 1.0 - 1e-6
    got = expected.copy()
    got[:5, 1] = 1.0 + 1e-6
    report = compare([(expected,)], [(got,)], "fp32", THRESHOLDS["fp32"])
    assert report.rel < 1e-5
    assert report.top1_agreement == 0.9
    assert report.status == "FAIL"


def test_bad_input(broken_and_whole: tuple, images: list, tmp_path: Path) -> None:
    _, whole = broken_and_whole
    with pytest.raises(InvalidValue, match="at least one input"):
        check_parity(small_net(), whole, [], "fp32")
    with pytest.raises(InvalidValue, match="shapes of their outputs"):
        check_parity(small_net(7), whole, images, "fp32")
    with pytest.raises(MissingFile):
        ParityReport.load(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"rel": 1}')
    with pytest.raises(InvalidValue, match="not a parity report"):
        ParityReport.load(tmp_path / "bad.json")


def logits(classes: list[int], seed: int = 0) -> list[tuple[np.ndarray, ...]]:
    """One image a run, surely of these classes of ten."""
    noise = np.random.default_rng(seed).normal(size=(len(classes), 10)).astype(np.float32)
    return [
        (row[None] + 20 * np.eye(10, dtype=np.float32)[k],)
        for row, k in zip(noise, classes, strict=True)
    ]


def test_a_comparison_that_cannot_fail_is_no_pass(tmp_path: Path) -> None:
    same = [(np.full((1, 10), 0.5, np.float32),)] * 4
    report = compare(same, same, "fp32", THRESHOLDS["fp32"])
    assert (report.status, report.rel) == ("WARN", 0)
    assert "says the same of all 4 images" in report.lines()[1]
    assert ParityReport.load(report.save(tmp_path / "parity.json")) == report
    alone = compare(same[:1], same[:1], "fp32", THRESHOLDS["fp32"])
    assert (alone.status, alone.doubts) == ("PASS", ())


def test_int8_of_a_network_that_says_one_class_is_no_pass() -> None:
    ones = logits([3] * 8)
    assert compare(ones, ones, "fp32", THRESHOLDS["fp32"]).status == "PASS"
    report = compare(ones, ones, "int8", THRESHOLDS["int8"])
    assert report.status == "WARN"
    assert "one class of all 8 images" in report.doubts[0]


def test_int8_that_collapses_is_said() -> None:
    wanted = logits([0, 1, 2, 3])
    for got, words in (
        ([(np.zeros((1, 10), np.float32),)] * 4, "says the same of all 4 images"),
        (logits([5] * 4, seed=1), "one class of all 4 images, the network 4"),
        (logits([1, 0, 3, 2]), "answers otherwise too often"),
    ):
        report = compare(wanted, got, "int8", THRESHOLDS["int8"])
        assert report.status == "FAIL"
        assert words in report.doubts[0]
        assert "--data" in report.doubts[0]


def test_outputs_that_are_no_numbers_are_said() -> None:
    good, bad = logits([0, 1]), logits([0, 1])
    bad[1][0][0, 4] = np.nan
    for expected, got, who in ((bad, bad, "the network itself"), (good, bad, "the artefact")):
        report = compare(expected, got, "fp32", THRESHOLDS["fp32"])
        assert report.status == "FAIL"
        assert report.doubts[0].startswith(who)
        assert "1 of 2 images" in report.doubts[0]
