"""Core ML: what is written here, what it says of not being run, and the check that a Mac runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from pocketeye.artifacts import coreml_check
from pocketeye.errors import InvalidValue
from pocketeye.exporting.elsewhere import write_check
from pocketeye.runtimes import (
    Artifact,
    ExportRequest,
    ParityReport,
    TensorSpec,
    available_runtimes,
    get_runtime,
)
from tests.runtimes.canaries import CANARIES, build, example
from tests.runtimes.nets import small_net

SHAPE = (1, 3, 16, 16)
IMAGES = [(np.random.default_rng(i).standard_normal(SHAPE).astype(np.float32),) for i in range(6)]
real = pytest.mark.skipif(
    available_runtimes()["coreml"] is None, reason="coremltools is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files that a Mac gets, but for the package itself."""
    artifact = Artifact(
        folder=tmp_path, file="model.mlpackage", runtime="coreml", precision="fp16",
        inputs=(TensorSpec(name="image", shape=SHAPE),),
        outputs=(TensorSpec(name="logits", shape=(1, 10)),),
        extra={"input_names": ["input"], "output_names": ["linear_0"]},
    )  # fmt: skip
    report = write_check(small_net(), artifact, IMAGES, tmp_path)
    assert report.status == "NOT RUN"
    return tmp_path


def use_core_ml(monkeypatch: pytest.MonkeyPatch, error: float) -> None:
    """Let this network, with an error of this size, stand for what Core ML computes on a Mac."""
    net = small_net()

    class Package:
        def __init__(self, path: str) -> None:
            assert path.endswith("model.mlpackage")

        def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
            with torch.no_grad():
                logits = net(torch.from_numpy(inputs["input"])).numpy()
            return {"linear_0": logits * (1 + error)}

    tools = ModuleType("coremltools")
    tools.models = SimpleNamespace(MLModel=Package)  # type: ignore[attr-defined]
    tools.__version__ = "9.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "coremltools", tools)


@pytest.mark.parametrize(
    ("error", "status", "code"), [(1e-4, "PASS", 0), (2e-2, "WARN", 0), (0.5, "FAIL", 1)]
)
def test_the_check_of_a_mac(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: float, status: str, code: int
) -> None:
    use_core_ml(monkeypatch, error)
    assert coreml_check.main(folder) == code
    result = json.loads((folder / "check-result.json").read_text())
    assert (result["status"], result["n"], result["top1_agreement"]) == (status, 6, 1.0)
    assert result["rel"] == pytest.approx(error, rel=1e-2)
    assert result["p50_ms"] > 0


def test_the_check_needs_nothing_of_pocketeye(folder: Path) -> None:
    # It gets as far as Core ML itself, which is not here.
    code = "import sys; sys.modules.update(pocketeye=None, torch=None, coremltools=None); "
    code += "sys.argv = ['check.py']; import runpy; runpy.run_path('check.py', run_name='__main__')"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "import of coremltools halted" in ran.stderr


def test_a_report_that_was_not_run_is_no_pass(tmp_path: Path) -> None:
    report = ParityReport.not_run("fp16", "coreml runs on a Mac")
    (line,) = report.lines()
    assert "not run here" in line
    assert "PASS" not in line
    loaded = ParityReport.load(report.save(tmp_path / "parity.json"))
    assert (loaded.status, loaded.n) == ("NOT RUN", 0)
    assert np.isnan(loaded.rel)


@real
@pytest.mark.slow
def test_packages(tmp_path: Path) -> None:
    runtime, net = get_runtime("coreml"), torch.nn.Conv2d(3, 256, 7)
    sizes = {}
    for precision in runtime.precisions:
        request = ExportRequest(net, (torch.zeros(SHAPE),), precision=precision)
        artifact = runtime.export(request, tmp_path / precision)
        assert Artifact.load(artifact.folder) == artifact
        sizes[precision] = artifact.size_bytes
        with pytest.raises(InvalidValue, match=r"runs on a Mac .*check\.py"):
            runtime.load(artifact)
    assert sizes["fp32"] > 1.7 * sizes["fp16"] > 1.7 * 1.5 * sizes["int8"]
    # Written again into the folder where a package lies.
    runtime.export(ExportRequest(net, (torch.zeros(SHAPE),)), tmp_path / "fp16")
    weights = next((tmp_path / "fp32" / "model.mlpackage").rglob("weight.bin"))
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InvalidValue, match="not the file its artifact"):
        runtime.load(Artifact.load(tmp_path / "fp32"))


@real
@pytest.mark.slow
@pytest.mark.parametrize("name", CANARIES)
def test_every_layer_converts(name: str, tmp_path: Path) -> None:
    # One by one, as coremltools mixes up the names of values in a graph of many parts.
    artifact = get_runtime("coreml").export(ExportRequest(build(name), (example(name),)), tmp_path)
    assert artifact.size_bytes > 0
