import importlib
import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import pocketeye
from pocketeye.errors import InvalidValue
from pocketeye.exporting.inputs import sample_inputs, settle_batchnorm
from pocketeye.predicting.network import open_network
from pocketeye.runtimes import Artifact, available_runtimes, get_runtime
from pocketeye.verbs.export import export
from tests.conftest import largest_file


def needs(runtime: str) -> pytest.MarkDecorator:
    found = available_runtimes()[runtime]
    return pytest.mark.skipif(found is None, reason=f"{runtime} is not installed")


@pytest.mark.parametrize(
    "runtime",
    ["onnxruntime", "torch", pytest.param("openvino", marks=needs("openvino"))],
)
def test_artefact_with_parity_and_latency(tiny, tmp_path, runtime: str) -> None:
    result = export(str(tiny), to=runtime, out=tmp_path / "out", samples=8)
    assert result.parity.status == "PASS"
    assert (result.parity.n, result.exit_code) == (8, 0)
    parity = json.loads((tmp_path / "out" / "parity.json").read_text())
    assert parity["rel"] < 1e-4
    latency = json.loads((tmp_path / "out" / "latency.json").read_text())
    assert latency["runtime"] == runtime
    assert latency["latency_ms"] > 0
    assert latency["device"]["cpu"]
    assert all(path.is_file() for path in result.written())
    executable = get_runtime(runtime).load(Artifact.load(tmp_path / "out"))
    (logits,) = executable(np.zeros((1, 1, 16, 16), np.float32))
    assert logits.shape == (1, 10)


def test_int8_is_smaller_and_says_that_weights_are_random(tiny, tmp_path) -> None:
    result = export(str(tiny), precision="int8", out=tmp_path / "int8", samples=8)
    assert result.parity.precision == "int8"
    assert 0 < result.parity.rel < 0.5
    lines = result.lines()
    assert any("weights are random" in line for line in lines)
    assert any("int8 gives the same class on" in line and "of 8 images" in line for line in lines)


def test_checkpoint_is_what_gets_exported(tiny, tmp_path) -> None:
    model = pocketeye.create_model(tiny)
    torch.nn.init.zeros_(model.classifier.weight)
    torch.nn.init.constant_(model.classifier.bias, 3.0)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    result = export(str(tiny), checkpoint=tmp_path / "w.pth", out=tmp_path / "o", samples=2)
    assert result.trained
    executable = get_runtime("onnxruntime").load(result.artifact)
    (logits,) = executable(np.ones((1, 1, 16, 16), np.float32))
    np.testing.assert_allclose(logits, 3.0, rtol=1e-6)


def test_failed_parity_keeps_the_artefact_and_says_no(tiny, tmp_path) -> None:
    result = export(str(tiny), to="torch", out=tmp_path / "o", samples=2)
    failed = replace(result, parity=replace(result.parity, status="FAIL"))
    assert failed.exit_code == 1
    assert any("the artefact is kept" in line for line in failed.lines())


def test_inputs_are_real_normalised_and_repeatable(tiny) -> None:
    grey, colour = open_network(str(tiny)), open_network("fbnet_96_035_1", input_size=32)
    for network, shape in ((grey, (1, 1, 16, 16)), (colour, (1, 3, 32, 32))):
        inputs = sample_inputs(network, None, 12)
        assert {arrays[0].shape for arrays in inputs} == {shape}
        assert {arrays[0].dtype for arrays in inputs} == {np.dtype(np.float32)}
        everything = np.concatenate([arrays[0] for arrays in inputs])
        assert everything.std() > 0.3
        assert np.abs(everything).max() < 4
        again = sample_inputs(network, None, 12)
        np.testing.assert_array_equal(everything, np.concatenate([a[0] for a in again]))


def test_settled_networks_have_unit_signals(tiny) -> None:
    network = open_network(str(tiny))
    inputs = sample_inputs(network, None, 16)
    settle_batchnorm(network.module, inputs)
    norms = [m for m in network.module.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert [norm.momentum for norm in norms] == [0.1] * len(norms)
    assert not network.module.training
    seen: list[torch.Tensor] = []
    norms[0].register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
    with torch.no_grad():
        network.module(torch.from_numpy(np.concatenate([arrays[0] for arrays in inputs])))
    torch.testing.assert_close(seen[0].mean((0, 2, 3)), torch.zeros(8), atol=1e-3, rtol=0)
    torch.testing.assert_close(seen[0].std((0, 2, 3)), torch.ones(8), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "onnxruntim"}, "Did you mean 'onnxruntime'"),
        ({"to": "torch", "precision": "int8"}, "not offered by the runtime 'torch'"),
        ({"samples": 0}, "at least 1 image"),
        ({"data": "digit"}, "digits"),
    ],
)
def test_bad_input(tiny, tmp_path, options: dict, message: str) -> None:
    with pytest.raises((InvalidValue, FileNotFoundError), match=message):
        export(str(tiny), out=tmp_path / "out", **options)


def test_a_killed_export_leaves_the_artefact_before_whole(
    tiny, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    export(str(tiny), out=out, samples=2)
    (out / "eval.json").write_text("{}")
    (out / "notes.txt").write_text("mine")
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("check_parity", "record_of", "seal"):
        with monkeypatch.context() as patch:
            patch.setattr(f"pocketeye.exporting.network.{step}", killed)
            with pytest.raises(KeyboardInterrupt):
                export(str(tiny), to="torch", out=out, samples=2)
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    export(str(tiny), to="torch", out=out, samples=2)
    names = {path.name for path in out.iterdir()}
    assert "model.pt2" in names
    assert not {"model.onnx", "eval.json"} & names, "they belong to the artefact before"
    assert (out / "notes.txt").read_text() == "mine"


def test_files_of_another_artefact_are_noticed(tiny, tmp_path) -> None:
    result = export(str(tiny), out=tmp_path / "out", samples=2)
    model = tmp_path / "out" / "model.json"
    model.write_text(model.read_text().replace('"0"', '"zero"'))
    with pytest.raises(InvalidValue, match=r"model\.json does not belong to .*model\.onnx"):
        get_runtime("onnxruntime").load(Artifact.load(tmp_path / "out"))
    assert result.artifact.folder == tmp_path / "out"


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_a_full_disk_is_one_sentence(tiny, tmp_path, runtime: str) -> None:
    with largest_file(2000), pytest.raises(InvalidValue, match=r"disk of .*out is full"):
        export(str(tiny), to=runtime, out=tmp_path / "out", samples=2)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["config.yaml", "best.safetensors"])
def test_a_run_is_no_place_for_an_artefact(tiny, tmp_path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(InvalidValue, match=r"holds a run.*--out"):
        export(str(tiny), out=tmp_path, samples=2)


def test_a_page_forgets_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of a page is exported with all that was asked for, but for where it goes."""
    module = importlib.import_module("pocketeye.verbs.export")
    seen: dict[str, object] = {}

    def exporting(model: str, **options: object) -> None:
        seen.update(options, model=model)
        raise KeyboardInterrupt  # nothing is to be exported

    monkeypatch.setattr(module, "ort_folder", lambda: None)
    monkeypatch.setattr(module, "export", exporting)
    with pytest.raises(KeyboardInterrupt):
        export("pocketeye_tam_nano", to="web", pool_memory=True)
    asked = set(inspect.signature(export).parameters) - {"to", "out"}
    assert set(seen) == asked
    assert seen["pool_memory"] is True
