from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.runtimes import Artifact, ExportRequest, get_runtime
from pocketeye.runtimes.onnx.shared import SHARED, WEIGHTS
from pocketeye.runtimes.onnx.weights import halve, whole_model


@pytest.fixture
def two(tmp_path):
    """Two graphs with one layer in common, as artefacts: one in the folder, one below it."""
    torch.manual_seed(0)
    common = nn.Linear(32, 32)
    nets = [nn.Sequential(common), nn.Sequential(common, nn.ReLU(), nn.Linear(32, 16))]
    runtime = get_runtime("onnxruntime")
    request = ExportRequest(nets[0], (torch.zeros(1, 32),), for_timing=True)
    artifacts = [
        runtime.export(replace(request, module=net), tmp_path / place)
        for net, place in zip(nets, (".", "second"), strict=True)
    ]
    return runtime, artifacts, tmp_path


def test_graphs_that_share_weights_compute_the_same_from_fewer_bytes(two) -> None:
    runtime, artifacts, folder = two
    x = np.random.default_rng(0).standard_normal((1, 32)).astype(np.float32)
    before = [runtime.load(artifact)(x)[0] for artifact in artifacts]
    sizes = [artifact.size_bytes for artifact in artifacts]
    assert runtime.share_weights(artifacts, folder)
    again = [Artifact.load(artifact.folder) for artifact in artifacts]
    for artifact, expected in zip(again, before, strict=True):
        assert np.array_equal(runtime.load(artifact)(x)[0], expected)
        assert runtime.load(artifact).profile(x, runs=2)
    # The common layer once (32 x 32 floats), the other's own 16 x 32 behind it.
    assert (folder / WEIGHTS).stat().st_size == 4 * (32 * 32 + 16 * 32)
    assert sum(artifact.size_bytes for artifact in again) < sum(sizes) - 2 * 4 * 32 * 32


def test_a_graph_is_whole_again(two) -> None:
    runtime, artifacts, folder = two
    before = [onnx.load(artifact.path) for artifact in artifacts]
    assert whole_model(artifacts[0]) == before[0]
    runtime.share_weights(artifacts, folder)
    for artifact, model in zip(artifacts, before, strict=True):
        whole = whole_model(Artifact.load(artifact.folder))
        assert whole.graph.node == model.graph.node
        for ours, theirs in zip(whole.graph.initializer, model.graph.initializer, strict=True):
            assert np.array_equal(numpy_helper.to_array(ours), numpy_helper.to_array(theirs))


def test_the_common_file_is_gone_or_cut(two) -> None:
    runtime, artifacts, folder = two
    runtime.share_weights(artifacts, folder)
    again = [Artifact.load(artifact.folder) for artifact in artifacts]
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:100])
    for artifact in again:
        with pytest.raises(InvalidValue, match="export it again"):
            runtime.load(artifact)
    path.unlink()
    with pytest.raises(InvalidValue, match=WEIGHTS):
        runtime.load(again[0])


@pytest.mark.parametrize(
    "table",
    [
        {"x": [0, "object", [2]]},
        {"x": [0, "float32", [-5]]},
        {"x": [10**9, "float32", [2]]},
        {"x": "no"},
        [],
    ],
)
def test_a_forged_table_is_refused(two, table) -> None:
    runtime, artifacts, folder = two
    runtime.share_weights(artifacts, folder)
    artifact = Artifact.load(folder)
    forged = {**artifact.extra, SHARED: {"above": False, "table": table}}
    replace(artifact, extra=forged).save()
    with pytest.raises(InvalidValue, match="export it again"):
        runtime.load(Artifact.load(folder))


def test_half_the_bytes_of_large_constants_alone(two) -> None:
    _, artifacts, _ = two
    model = onnx.load(artifacts[1].path)
    assert halve(model) == 2  # two matrices; biases are too small to matter
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert list(kinds.values()).count(onnx.TensorProto.FLOAT16) == 2
    assert [node.op_type for node in model.graph.node[:2]] == ["Cast", "Cast"]


def test_fp16_is_an_artefact_of_half_the_size(two, tmp_path) -> None:
    runtime, _artifacts, _ = two
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 8)).eval()
    x = torch.randn(1, 64)
    request = ExportRequest(net, (x,), for_timing=True)
    whole = runtime.export(request, tmp_path / "fp32")
    half = runtime.export(replace(request, precision="fp16"), tmp_path / "fp16")
    assert half.size_bytes < 0.6 * whole.size_bytes
    given = runtime.load(half)(x.numpy())[0]
    expected = net(x).detach().numpy()
    assert not np.array_equal(given, expected)
    assert np.abs(given - expected).max() < 2e-3 * np.abs(expected).max()


def test_constants_that_float16_cannot_hold_stay(two) -> None:
    _, artifacts, _ = two
    model = onnx.load(artifacts[0].path)
    (weight,) = (t for t in model.graph.initializer if len(t.dims) == 2)
    values = onnx.numpy_helper.to_array(weight) * 1e6
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    assert halve(model) == 0
