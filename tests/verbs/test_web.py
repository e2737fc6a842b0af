"""An artefact becomes a site, which lists what it needs and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.exporting.web import SITE, write_site
from pocketeye.exporting.web_weights import GRAPHS, WEIGHTS, pack_graphs
from pocketeye.models.tam.published import bundled_graphs
from pocketeye.predicting.info import ModelInfo
from pocketeye.runtimes import Artifact, TensorSpec
from pocketeye.runtimes.browser import assets


@pytest.fixture(autouse=True)
def fake_ort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "ort" / "dist"
    folder.mkdir(parents=True)
    for name in assets.ORT_WASM:
        (folder / name).write_text("export {};")
    monkeypatch.setenv(assets.ORT_VARIABLE, str(folder))


def graph(seed: int) -> onnx.ModelProto:
    """Make a graph with two weights, of which half precision holds one exactly."""
    values = np.random.default_rng(seed).standard_normal((2, 20, 20)).astype(np.float32)
    values[0] = values[0].astype(np.float16)
    weights = [numpy_helper.from_array(value, f"w{k}") for k, value in enumerate(values)]
    x, y = (helper.make_tensor_value_info(name, 1, [20, 20]) for name in "xy")
    nodes = [
        helper.make_node("Add", ["x", "w0"], ["z"]),
        helper.make_node("Add", ["z", "w1"], ["y"]),
    ]
    made = helper.make_graph(nodes, "g", [x], [y], weights)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


def artefact(folder: Path, runtime: str = "onnxruntime", seed: int = 0) -> Path:
    """Write what an export leaves of a classifier."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(graph(seed), folder / "model.onnx")
    Artifact(
        folder=folder, file="model.onnx", runtime=runtime, precision="fp32",
        inputs=(TensorSpec(name="x", shape=(20, 20)),),
        outputs=(TensorSpec(name="y", shape=(20, 20)),),
    ).save()  # fmt: skip
    ModelInfo.default("tiny", ("cat", "dog"), 3, 8).save(folder)
    return folder


def said(site: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((site / SITE).read_text())
    return found


def test_a_site_lists_its_files(tmp_path: Path) -> None:
    site = write_site(artefact(tmp_path / "model"), tmp_path / "site")
    files = said(site.folder)["files"]
    assert said(site.folder)["task"] == "classify"
    assert {"index.html", "network.onnx", "model.json", "sw.js"} <= set(files)
    for name in files:
        assert (site.folder / name).is_file()
        # From any path: nothing begins at the root of a server.
        if name.endswith((".html", ".mjs", ".js", ".css")):
            text = (site.folder / name).read_text()
            assert 'src="/' not in text
            assert "from '/" not in text
            assert "http://" not in text
    assert site.size_bytes == sum((site.folder / n).stat().st_size for n in files)


def test_a_tracker_becomes_a_site(tmp_path: Path) -> None:
    # Its graphs share a file of weights that lies above their folders.
    graphs = bundled_graphs("pocketeye_tam_nano")
    assert graphs is not None
    for _ in range(2):  # the second replaces the first
        site = write_site(graphs, tmp_path / "site")
    assert said(site.folder)["task"] == "track"
    packed = json.loads((site.folder / GRAPHS).read_text())
    assert {"image", "prompt", "decode", "write", "read-1", "read-9"} <= set(packed["graphs"])
    assert "read-14" not in packed["graphs"]  # more maps than a page's session reads
    shared = (graphs / WEIGHTS).stat().st_size
    # Once, and not for each of the graphs: alignment is all that may come on top.
    assert (site.folder / WEIGHTS).stat().st_size <= shared
    assert packed["weights"]["size"] <= shared + 64


def test_nothing_is_left_of_a_site_that_could_not_be_written(tmp_path: Path) -> None:
    folder = artefact(tmp_path / "model")
    (folder / "model.onnx").write_bytes(b"cut")
    with pytest.raises(InvalidValue, match=r"model.onnx.*export it again"):
        write_site(folder, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_another_model_is_another_version(tmp_path: Path) -> None:
    versions = []
    for seed in (0, 0, 1):
        site = write_site(artefact(tmp_path / "model", seed=seed), tmp_path / "site")
        versions.append(said(site.folder)["version"])
    assert versions[0] == versions[1] != versions[2]


def test_weights_are_packed_once_and_exactly(tmp_path: Path) -> None:
    folders = [
        artefact(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    pack_graphs({f.name: Artifact.load(f) for f in folders}, tmp_path / "packed")
    packed = (tmp_path / "packed" / WEIGHTS).read_bytes()
    # Two tensors of 400 numbers in each of two contents, one of the two in half precision.
    assert len(packed) == 2 * 400 * (2 + 4)
    parts = json.loads((tmp_path / "packed" / GRAPHS).read_text())["weights"]["parts"]
    whole, at = bytearray(parts[-1]["offset"] + parts[-1]["size"]), 0
    for part in parts:
        size = part["size"] // 2 if part["half"] else part["size"]
        data = packed[at : at + size]
        if part["half"]:
            data = np.frombuffer(data, np.float16).astype(np.float32).tobytes()
        whole[part["offset"] : part["offset"] + part["size"]] = data
        at += size
    (tmp_path / "packed" / WEIGHTS).write_bytes(bytes(whole))
    x = np.ones((20, 20), np.float32)
    for folder in folders:
        ours, theirs = (
            ort.InferenceSession(path).run(None, {"x": x})[0]
            for path in (tmp_path / "packed" / f"{folder.name}.onnx", folder / "model.onnx")
        )
        assert np.array_equal(ours, theirs)


def test_what_pages_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"'openvino'.*--to web"):
        write_site(artefact(tmp_path / "model", "openvino"), tmp_path / "site")
    with pytest.raises(MissingFile, match="no artefact"):
        write_site(tmp_path / "nothing", tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_missing_runtime_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assets.ORT_VARIABLE, str(tmp_path))
    with pytest.raises(MissingFile, match="make web"):
        write_site(artefact(tmp_path / "model"), tmp_path / "site")
