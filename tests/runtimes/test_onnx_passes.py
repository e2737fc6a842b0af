"""Rewritten graphs: the operators ONNX Runtime has int8 kernels for, and the same values."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from pocketeye.runtimes import ExportRequest, get_runtime
from pocketeye.runtimes.onnx.passes import GELU_SLOPE, pool_globally


class Gated(nn.Module):
    """A convolution, GELU, a gate by the mean of the map (kept or flat), and a classifier."""

    def __init__(self, keepdim: bool) -> None:
        super().__init__()
        self.keepdim = keepdim
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.gate = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.gelu(self.conv(x))
        if self.keepdim:
            x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        return self.head(x.mean((-2, -1)))


@pytest.mark.parametrize("keepdim", [True, False])
def test_int8_runs_in_int8_and_stays_near(keepdim: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Gated(keepdim).eval()
    runtime = get_runtime("onnxruntime")
    images = np.random.default_rng(0).normal(size=(16, 1, 3, 16, 16)).astype(np.float32)
    artifact = runtime.export(
        ExportRequest(
            net,
            (torch.zeros(1, 3, 16, 16),),
            precision="int8",
            calibration=[(image,) for image in images],
        ),
        tmp_path,
    )
    executable = runtime.load(artifact)
    ops = {row.op for row in executable.profile(images[0], runs=1)}
    assert {"QLinearGlobalAveragePool", "QLinearSigmoid", "QLinearMul"} <= ops
    assert not {"Gelu", "ReduceMean", "GlobalAveragePool", "Sigmoid", "Mul"} & ops
    with torch.no_grad():
        expected = net(torch.from_numpy(images[:, 0])).numpy()
    got = np.concatenate([executable(image)[0] for image in images])
    assert np.abs(got - expected).max() < 0.1 * np.ptp(expected)


def test_answers_beyond_the_calibration_are_not_cut_off(tmp_path: Path) -> None:
    """Images stronger than those of the calibration have higher logits in int8 too."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(8, 20)).eval()  # fmt: skip
    with torch.no_grad():
        net[0].weight *= 4  # so that most values are at one of ReLU6's ends, whose range is known
    runtime = get_runtime("onnxruntime")
    images = np.random.default_rng(0).normal(size=(16, 1, 3, 16, 16)).astype(np.float32)
    calibration = [(image / 16,) for image in images]
    request = ExportRequest(
        net, (torch.zeros(1, 3, 16, 16),), precision="int8", calibration=calibration
    )
    artifact = runtime.export(request, tmp_path)
    executable = runtime.load(artifact)
    with torch.no_grad():
        expected, near = (net(torch.from_numpy(x[:, 0])).numpy() for x in (images, images / 16))
    assert np.abs(expected).max() > 1.2 * np.abs(near).max(), "nothing would be cut off"
    got = np.concatenate([executable(image)[0] for image in images])
    assert got.max() > near.max() + 0.1
    assert {row.op for row in executable.profile(images[0], runs=1)} >= {"QGemm"}


def test_the_sigmoid_is_as_near_to_gelu_as_stated() -> None:
    x = torch.linspace(-8, 8, 100_001, dtype=torch.float64)
    worst = (nn.functional.gelu(x) - x * torch.sigmoid(GELU_SLOPE * x)).abs().max()
    assert math.isclose(float(worst), 0.0203, abs_tol=5e-5)


@pytest.mark.parametrize(("shape", "axes", "found"), [
    ((1, 4, 6, 6), [2, 3], 1), ((1, 4, 6, 6), [-1, -2], 1), ((1, 4, 6, 6), [1, 2], 0),
    ((1, 2, 4, 6, 6), [3, 4], 0), ((1, 2, 4, 6, 6), [2, 3], 0), ((1, 9, 4), [1], 0),
])  # fmt: skip
def test_only_means_over_a_map_are_pools(shape: tuple[int, ...], axes: list[int], found: int):
    kept = [side for axis, side in enumerate(shape) if axis not in {a % len(shape) for a in axes}]
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, kept)],
        [helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert pool_globally(model) == found
    onnx.checker.check_model(model)
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    (y,) = onnx.reference.ReferenceEvaluator(model).run(None, {"x": x})
    np.testing.assert_allclose(y, x.mean(tuple(axes)), rtol=1e-5, atol=1e-6)
