"""The fast ONNX writer against torch, float and int8."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketeye.models.additive import AdditiveBlock
from pocketeye.models.architecture import BlockSpec
from pocketeye.models.blocks import build_block
from pocketeye.runtimes import ExportRequest, UnsupportedModule, check_parity
from pocketeye.runtimes.onnx.int8 import quantize_weight
from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime
from pocketeye.runtimes.onnx.writer import export_fast
from tests.runtimes.nets import Residual, randomize_norms, settle_norms, small_net

RUNTIME = OnnxRuntime()
BLOCKS = {
    "conv3:3>16/2": 32, "k3_e1:16>16/1": 14, "k3_e1_g2:16>24/2": 15, "k5_e1_g2:16>16/1": 14,
    "k3_e3:16>24/2": 14, "k5_e3:24>24/1": 13, "k3_e6:16>16/1": 14, "k5_e6:24>32/2": 14,
    "k3_e1_nopw:16>16/1": 14, "k5_e1_g2_nopw:16>24/1": 14, "skip:16>16/1": 14,
    "head64:24>10/1": 7, "conv3_relu6_same:3>16/2": 32, "k3_e6_relu6_same:16>24/2": 14,
    "k5_e3_relu6_same:16>24/2": 15, "k3_e1_nopw_relu6:16>24/1": 14, "head64_relu6:24>10/1": 7,
}  # fmt: skip


def build(text: str) -> tuple[nn.Module, Tensor]:
    spec = BlockSpec.parse(text)
    torch.manual_seed(1)
    x = torch.randn(1, spec.in_chs, BLOCKS[text], BLOCKS[text])
    return randomize_norms(build_block(spec)).eval(), x


def ops(executable: object, *arrays: np.ndarray) -> Counter[str]:
    return Counter(row.op for row in executable.profile(*arrays, runs=1))  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", BLOCKS)
def test_block_equals_torch(text: str, tmp_path: Path) -> None:
    module, x = build(text)
    artifact = RUNTIME.export(ExportRequest(module, (x,), for_timing=True), tmp_path)
    (got,) = RUNTIME.load(artifact)(x.numpy())
    with torch.no_grad():
        expected = module(x.clone()).numpy()
    assert artifact.outputs[0].shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("text", BLOCKS)
def test_int8_block_is_close_and_int8(text: str, tmp_path: Path) -> None:
    module, x = build(text)
    settle_norms(module, torch.cat([x, -x, x + 0.1]))
    with torch.no_grad():
        expected = module(x.clone()).numpy()
    calibration = [(x.numpy(),)]
    artifact = RUNTIME.export(
        ExportRequest(module, (x,), for_timing=True, precision="int8", calibration=calibration),
        tmp_path / "f",
    )
    (got,) = RUNTIME.load(artifact)(x.numpy())
    error = np.linalg.norm(got - expected) / np.linalg.norm(expected)
    assert 0 < error < 0.06

    artifact = RUNTIME.export(
        ExportRequest(
            module,
            (x,),
            for_timing=True,
            precision="int8",
            boundary="quantized",
            calibration=calibration,
        ),
        tmp_path / "q",
    )
    scales = artifact.extra["quantization"]
    stored = np.round(x.numpy() / scales["image"]["scale"] + scales["image"]["zero_point"])
    stored = stored.clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1).copy()
    executable = RUNTIME.load(artifact)
    (got_u8,) = executable(stored)
    assert got_u8.dtype == np.uint8
    assert got_u8.shape == artifact.outputs[0].shape
    real = (got_u8.astype(np.float32) - scales["logits"]["zero_point"]) * scales["logits"]["scale"]
    if real.ndim == 4:
        real = real.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(real, got, atol=1.01 * scales["logits"]["scale"])
    # Nothing but integer kernels, and no conversion at the boundary.
    allowed = {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QGemm", "Flatten",
               "Identity"}  # fmt: skip
    if "_g2" in text:
        allowed |= {"Reshape", "Transpose"}
    if "head" in text:  # of the pooled 1x1 map, before it is flattened
        allowed |= {"Transpose"}
    assert set(ops(executable, stored)) <= allowed


def test_hard_swish_equals_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    block = randomize_norms(build_block(BlockSpec.parse("k3_e3_hswish:8>8/1"))).eval()
    x = torch.randn(1, 8, 9, 9)
    artifact = RUNTIME.export(ExportRequest(block, (x,), for_timing=True), tmp_path)
    (got,) = RUNTIME.load(artifact)(x.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(got, block(x.clone()).numpy(), rtol=1e-4, atol=1e-4)


def test_whole_networks(tmp_path: Path) -> None:
    from pocketeye.models.backbones.fbnet import fbnet_96_035_1, fbnet_c

    torch.manual_seed(0)
    for make, size in ((fbnet_c, 64), (fbnet_96_035_1, 96)):
        net = settle_norms(make(), torch.randn(4, 3, size, size))
        x = torch.randn(2, 3, size, size)
        artifact = RUNTIME.export(ExportRequest(net, (x,), for_timing=True), tmp_path)
        with torch.no_grad():
            expected = net(x.clone()).numpy()
        (got,) = RUNTIME.load(artifact)(x.numpy())
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_whole_network_int8_runs_in_integers(tmp_path: Path) -> None:
    from pocketeye.models.backbones.fbnet import fbnet_96_035_1

    torch.manual_seed(0)
    data = torch.randn(8, 3, 96, 96)
    net = settle_norms(fbnet_96_035_1(num_classes=10), data)
    artifact = RUNTIME.export(
        ExportRequest(
            net, (data[:1],), for_timing=True, precision="int8", calibration=[(data.numpy(),)]
        ),
        tmp_path,
    )
    executable = RUNTIME.load(artifact)
    report = check_parity(net, executable, [(d[None].numpy(),) for d in data], "int8")
    assert report.psnr_db > 15
    count = ops(executable, data[:1].numpy())
    convolutions = sum(isinstance(m, nn.Conv2d) for m in net.modules())
    assert count["QLinearConv"] == convolutions
    assert count["QuantizeLinear"] == count["DequantizeLinear"] == 1
    assert not {"Conv", "FusedConv", "Add", "Gemm", "Relu"} & set(count)


def test_exporter_int8_runs_in_integers(tmp_path: Path) -> None:
    net, data = small_net(), np.random.default_rng(0).normal(size=(6, 1, 3, 16, 16))
    calibration = [(image.astype(np.float32),) for image in data]
    artifact = RUNTIME.export(
        ExportRequest(net, (torch.zeros(1, 3, 16, 16),), precision="int8", calibration=calibration),
        tmp_path,
    )
    executable = RUNTIME.load(artifact)
    report = check_parity(net, executable, calibration, "int8")
    assert report.psnr_db > 20
    assert report.rel > 1e-4
    assert ops(executable, calibration[0][0])["QLinearConv"] == 4


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    net, x = small_net(), torch.zeros(1, 3, 16, 16)
    files = [
        RUNTIME.export(
            ExportRequest(net, (x,), for_timing=True, precision="int8", seed=seed),
            tmp_path / str(i),
        ).path
        for i, seed in enumerate((0, 0, 1))
    ]
    first, again, other = (file.read_bytes() for file in files)
    assert first == again
    assert first != other


def test_names_of_layers_cannot_collide(tmp_path: Path) -> None:
    net = nn.Sequential()
    net.add_module("image", nn.Conv2d(3, 4, 1))
    net.add_module("logits", nn.ReLU())
    x = torch.randn(1, 3, 4, 4)
    for precision in ("fp32", "int8"):
        artifact = RUNTIME.export(
            ExportRequest(
                net, (x,), for_timing=True, precision=precision, calibration=[(x.numpy(),)]
            ),
            tmp_path,
        )
        (got,) = RUNTIME.load(artifact)(x.numpy())
        with torch.no_grad():
            np.testing.assert_allclose(
                got, net(x).numpy(), atol=1e-5 if precision == "fp32" else 0.1
            )


def test_training_mode_does_not_matter(tmp_path: Path) -> None:
    net, x = small_net(), torch.randn(1, 3, 16, 16)
    expected = export_fast(net, x, tmp_path / "eval.onnx").read_bytes()
    statistics = net[1].running_mean.clone()
    net.train()
    assert export_fast(net, x, tmp_path / "train.onnx").read_bytes() == expected
    assert net.training
    assert torch.equal(net[1].running_mean, statistics)


def test_dead_channel_keeps_its_bias() -> None:
    weight = np.zeros((2, 3, 1, 1), np.float32)
    weight[0, 0] = 1e-12
    bias = np.array([0.5, -2.0], np.float32)
    stored, scale, stored_bias = quantize_weight(weight, bias, 0.02)
    assert stored.dtype == np.int8
    np.testing.assert_allclose(stored_bias * scale.astype(np.float64) * 0.02, bias, rtol=1e-6)


class Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class SharedInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(x) + x


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


@pytest.mark.parametrize(
    ("module", "named"),
    [
        (nn.GELU(approximate="tanh"), "GELU"),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.SiLU()), "SiLU"),
        (nn.BatchNorm2d(3), "BatchNorm2d"),
        (nn.BatchNorm2d(3, track_running_stats=False), "BatchNorm2d"),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
         "without running statistics"),
        (AdditiveBlock(3), "norm1"),
        (Doubled(), "a product with a constant"),
        (nn.Conv2d(3, 3, 3, padding="same"), "'same'"),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), "reflect"),
        (nn.Linear(8, 4), "Linear on 4 dimensions"),
        (nn.AdaptiveAvgPool2d(2), "AdaptiveAvgPool2d"),
        (Untraceable(), "control flow"),
        (SharedInPlace(), "in-place"),
        (Scaled(), "scale"),
    ],
)  # fmt: skip
def test_unsupported_is_named(module: nn.Module, named: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModule, match=named) as error:
        RUNTIME.export(ExportRequest(module, (torch.zeros(1, 3, 8, 8),), for_timing=True), tmp_path)
    assert "use the exporter" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_quantized_io_needs_int8(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="quantized needs int8"):
        RUNTIME.export(
            ExportRequest(
                Residual(), (torch.zeros(1, 8, 8, 8),), for_timing=True, boundary="quantized"
            ),
            tmp_path,
        )
