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
    expected[:, 0] += 20
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
