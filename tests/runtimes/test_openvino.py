"""OpenVINO alone: precisions, what its files are, operators it lacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("openvino")

from pocketeye.errors import InvalidValue, MissingExtra, MissingFile
from pocketeye.runtimes import Artifact, ExportRequest, Precision, get_runtime
from pocketeye.runtimes.errors import MissingOperator
from tests.runtimes.nets import settle_norms, small_net

SHAPE = (1, 3, 16, 16)


def images(num: int) -> list[tuple[np.ndarray, ...]]:
    rng = np.random.default_rng(0)
    return [(rng.standard_normal(SHAPE, dtype=np.float32),) for _ in range(num)]


def net() -> nn.Module:
    return settle_norms(small_net(), torch.from_numpy(np.concatenate([x for (x,) in images(16)])))


def export(folder: Path, precision: Precision, **options: bool) -> Artifact:
    request = ExportRequest(
        net(), (torch.zeros(SHAPE),), precision=precision, calibration=images(8), **options
    )
    return get_runtime("openvino").export(request, folder)


def error_of(artifact: Artifact) -> float:
    executable, module = get_runtime("openvino").load(artifact), net()
    got = np.concatenate([executable(*arrays)[0] for arrays in images(8)])
    with torch.no_grad():
        expected = module(torch.from_numpy(np.concatenate([x for (x,) in images(8)]))).numpy()
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


def test_half_and_int8_are_smaller_and_nearly_the_same(tmp_path: Path) -> None:
    whole, half, int8 = (export(tmp_path / p, p) for p in ("fp32", "fp16", "int8"))
    size = [(a.folder / "model.bin").stat().st_size for a in (whole, half, int8)]
    assert size[0] > 1.5 * size[1]
    assert whole.size_bytes > size[0]
    assert error_of(whole) < 1e-5 < error_of(half) < 5e-3 < error_of(int8) < 0.1


def test_int8_computes_in_integers(tmp_path: Path) -> None:
    executable = get_runtime("openvino").load(export(tmp_path, "int8"))
    runtime_model = executable._network.get_runtime_model()
    kinds = [
        node.get_rt_info()["runtimePrecision"].astype(str)
        for node in runtime_model.get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    # The depthwise convolution of so few channels is as fast in float.
    assert kinds.count("u8") >= 3


def test_timed_graphs_are_written_fast_and_compute_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: object, **kwargs: object) -> None:
        raise AssertionError("the slow exporter was used")

    monkeypatch.setattr(torch.onnx, "export", slow)
    assert error_of(export(tmp_path / "fp32", "fp32", for_timing=True)) < 1e-5
    # Noise for its ranges, as there are no images for a block.
    request = ExportRequest(net(), (torch.zeros(SHAPE),), precision="int8", for_timing=True)
    assert error_of(get_runtime("openvino").export(request, tmp_path / "int8")) < 0.1


def test_float32_is_asked_for() -> None:
    assert get_runtime("openvino").flags()["INFERENCE_PRECISION_HINT"] == "f32"


def test_lost_and_foreign_weights(tmp_path: Path) -> None:
    artifact = export(tmp_path / "a", "fp32")
    weights = artifact.folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(InvalidValue, match="not the file its artifact"):
        get_runtime("openvino").load(artifact)
    weights.unlink()
    with pytest.raises(MissingFile, match=r"model\.bin is missing"):
        get_runtime("openvino").load(artifact)


class Determinant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.det(x)


class WithDeterminant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 1), Determinant())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_operator_that_is_missing(tmp_path: Path) -> None:
    request = ExportRequest(WithDeterminant(), (torch.zeros(1, 3, 4, 4),))
    with pytest.raises(MissingOperator, match="lacks the operator 'Det'") as error:
        get_runtime("openvino").export(request, tmp_path / "out")
    assert "in the layer 'body.1'" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_int8_without_nncf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(MissingExtra, match=r"'nncf'.*pocketeye\[openvino\]"):
        export(tmp_path, "int8")


def test_a_profile_names_the_modules(tmp_path: Path) -> None:
    request = ExportRequest(net(), (torch.zeros(SHAPE),))
    executable = get_runtime("openvino").load(get_runtime("openvino").export(request, tmp_path))
    rows = executable.profile(*images(1)[0], runs=3)
    convolutions = [row.module for row in rows if "Convolution" in row.op]
    # Of a norm that is folded into a convolution the exporter keeps the name.
    assert convolutions == ["1", "3.bn1", "3.bn2", "3.bn3"]


def test_an_artefact_runs_without_torch(tmp_path: Path) -> None:
    artifact = export(tmp_path, "fp32")
    code = (
        "import sys; sys.modules['torch'] = None; from pathlib import Path; import numpy as np; "
        "from pocketeye.runtimes import Artifact, open_artifact; "
        "run = open_artifact(Artifact.load(Path('.'))); "
        f"print(run(np.ones({SHAPE}, np.float32))[0].shape)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=artifact.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout.strip() == "(1, 10)", ran.stderr
