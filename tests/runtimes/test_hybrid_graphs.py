"""Additive attention blocks in ONNX Runtime, by the fast writer and by the exporter."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pocketeye.models import Architecture, FBNet, build_block, fuse
from pocketeye.models.architecture import BlockSpec
from pocketeye.runtimes import Executable, ExportRequest, Precision, check_parity
from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime
from tests.runtimes.nets import settle_norms

RUNTIME = OnnxRuntime()
BLOCKS = {"add_e4:16>16/1": 14, "add_e2:16>24/2": 13, "add_e1:8>24/1": 7}


def build(text: str) -> tuple[nn.Module, Tensor]:
    spec = BlockSpec.parse(text)
    torch.manual_seed(1)
    x = torch.randn(1, spec.in_chs, BLOCKS[text], BLOCKS[text])
    return settle_norms(build_block(spec), torch.cat([x, -x, x + 0.1])), x


def kernels(executable: Executable, array: np.ndarray) -> Counter[str]:
    return Counter(row.op for row in executable.profile(array, runs=1))


@pytest.mark.parametrize("text", BLOCKS)
def test_block_equals_torch(text: str, tmp_path: Path) -> None:
    module, x = build(text)
    executable = RUNTIME.load(
        RUNTIME.export(ExportRequest(fuse(nn.Sequential(module)), (x,), for_timing=True), tmp_path)
    )
    report = check_parity(module, executable, [(x.numpy(),), (2 * x.numpy(),)], "fp32")
    assert report.status == "PASS"
    count = kernels(executable, x.numpy())
    assert count["Gelu"] == 2, "the exact GELU as one node"
    assert count["BatchNormalization"] == count["Flatten"] == 0


@pytest.mark.parametrize("text", BLOCKS)
def test_int8_block_is_close_and_in_integers(text: str, tmp_path: Path) -> None:
    module, x = build(text)
    calibration = [(x.numpy(),)]
    artifact = RUNTIME.export(
        ExportRequest(
            fuse(nn.Sequential(module)),
            (x,),
            for_timing=True,
            precision="int8",
            calibration=calibration,
        ),
        tmp_path / "f",
    )
    report = check_parity(module, RUNTIME.load(artifact), calibration, "int8")
    assert 1e-4 < report.rel < 0.04

    artifact = RUNTIME.export(
        ExportRequest(
            fuse(nn.Sequential(module)),
            (x,),
            for_timing=True,
            precision="int8",
            boundary="quantized",
            calibration=calibration,
        ),
        tmp_path / "q",
    )
    executable = RUNTIME.load(artifact)
    count = kernels(executable, np.zeros(artifact.inputs[0].shape, np.uint8))
    spec = BlockSpec.parse(text)
    convolutions = sum(isinstance(m, nn.Conv2d) for m in fuse(nn.Sequential(module)).modules())
    assert count == {
        "QLinearConv": convolutions, "QLinearMul": 5 + 2, "QLinearSigmoid": 4 + 2, "QLinearAdd": 4,
        "QLinearGlobalAveragePool": 2,
    }  # fmt: skip
    assert convolutions == 16 + (not spec.keeps_shape)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("for_timing", [False, True])
def test_whole_networks(for_timing: bool, precision: Precision, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = torch.randn(8, 3, 32, 32)
    chain = "conv3:3>8/2|k3_e3:8>16/2|add_e2:16>16/1|skip:16>16/1|add_e2:16>24/2|head32:24>2/1"
    net = settle_norms(FBNet(Architecture.parse(f"hybrid@32={chain}")), data)
    images = [(image[None].numpy(),) for image in data]
    request = ExportRequest(
        fuse(net), (data[:1],), precision=precision, calibration=images, for_timing=for_timing
    )
    artifact = RUNTIME.export(request, tmp_path)
    executable = RUNTIME.load(artifact)
    report = check_parity(net, executable, images, precision)
    if precision == "fp32":
        assert report.status == "PASS"
        return
    assert report.psnr_db > 20
    count = kernels(executable, images[0][0])
    assert count["QLinearConv"] == sum(isinstance(m, nn.Conv2d) for m in fuse(net).modules())
    assert count["QLinearMul"] == count["QLinearSigmoid"] + 2 == 14
    assert count["QLinearGlobalAveragePool"] == 5
    assert not {"Conv", "FusedConv", "Mul", "Sigmoid", "Add", "Gelu"} & set(count)
