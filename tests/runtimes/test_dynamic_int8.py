"""int8 with ranges from every input: which products become bytes, and how near the answers stay."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from pocketeye.runtimes import Artifact, ExportRequest, get_runtime


class Reader(nn.Module):
    """Attention of 128 queries over 640 keys, with projections, and a product of a few rows."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.few = nn.Linear(64, 128), nn.Linear(64, 128), nn.Linear(128, 128)

    def forward(self, x: torch.Tensor, seen: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, k = self.q(x) * 128**-0.5, self.k(seen)
        turned = k.transpose(1, 2)
        read = torch.cat([(part @ turned).softmax(-1) @ k for part in q.split(64, 1)], 1)
        return read, self.few(read[:, :2])


def exported(folder: Path) -> tuple[Reader, Artifact]:
    torch.manual_seed(0)
    module = Reader().eval()
    example = (torch.zeros(1, 128, 64), torch.zeros(1, 640, 64))
    request = ExportRequest(
        module, example, precision="int8", ranges="dynamic", input_names=("x", "seen"),
        output_names=("read", "few"),
    )  # fmt: skip
    return module, get_runtime("onnxruntime").export(request, folder)


def test_large_products_are_in_bytes_and_small_ones_are_not(tmp_path):
    _, artifact = exported(tmp_path)
    graph = onnx.load(artifact.path).graph
    kinds = Counter(node.op_type for node in graph.node)
    # Two projections and the two pieces of the logits; sums over the keys and two rows stay in float.
    assert kinds["MatMulInteger"] == 4
    assert kinds["MatMul"] + kinds["Gemm"] == 3
    assert kinds["QuantizeLinear"] == 1  # both pieces share the keys
    kinds_of_bytes = {
        tensor.data_type for tensor in graph.initializer if "zero_of_bytes" in tensor.name
    }
    assert kinds_of_bytes == {onnx.TensorProto.INT8}


def test_answers_stay_near_whatever_the_scale(tmp_path):
    module, artifact = exported(tmp_path)
    run = get_runtime("onnxruntime").load(artifact)
    rng = np.random.default_rng(0)
    # Larger ones make softmax a choice of one key, where a rounding error is all or nothing.
    for scale in (0.01, 1.0):
        x, seen = (rng.standard_normal((1, n, 64), np.float32) * scale for n in (128, 640))
        x, seen = x.astype(np.float32), seen.astype(np.float32)
        with torch.no_grad():
            want = module(torch.from_numpy(x), torch.from_numpy(seen))
        for got, expected in zip(run(x, seen), want, strict=True):
            error = np.linalg.norm(got - expected.numpy()) / np.linalg.norm(expected.numpy())
            assert error < 0.05
    nothing = run(np.zeros((1, 128, 64), np.float32), np.zeros((1, 640, 64), np.float32))
    assert all(np.isfinite(array).all() for array in nothing)
