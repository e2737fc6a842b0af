"""An artefact becomes a site, which lists what it needs and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.exporting.web import SITE, write_site
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


def artefact(folder: Path, runtime: str = "onnxruntime") -> Path:
    """Write what an export leaves of a classifier, with a graph that is none."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    Artifact(
        folder=folder, file="model.onnx", runtime=runtime, precision="fp32",
        inputs=(TensorSpec(name="image", shape=(1, 3, 8, 8)),),
        outputs=(TensorSpec(name="logits", shape=(1, 2)),),
    ).save()  # fmt: skip
    ModelInfo.default("tiny", ("cat", "dog"), 3, 8).save(folder)
    return folder


def test_a_site_lists_its_files(tmp_path: Path) -> None:
    site = write_site(artefact(tmp_path / "model"), tmp_path / "site")
    said = json.loads((site.folder / SITE).read_text())
    assert said["task"] == "classify"
    assert {"index.html", "model/model.onnx", "model/model.json", "sw.js"} <= set(said["files"])
    for name in said["files"]:
        assert (site.folder / name).is_file()
        # From any path: nothing begins at the root of a server.
        if name.endswith((".html", ".mjs", ".js", ".css")):
            text = (site.folder / name).read_text()
            assert 'src="/' not in text
            assert "from '/" not in text
            assert "http://" not in text
    assert site.size_bytes == sum((site.folder / n).stat().st_size for n in said["files"])


def test_another_model_is_another_version(tmp_path: Path) -> None:
    model = artefact(tmp_path / "model")
    first, again = (
        json.loads((write_site(model, tmp_path / "site").folder / SITE).read_text())["version"]
        for _ in range(2)
    )
    (model / "model.onnx").write_bytes(b"another")
    other = json.loads((write_site(model, tmp_path / "site").folder / SITE).read_text())["version"]
    assert first == again != other


def test_a_model_that_lies_in_the_site_stays(tmp_path: Path) -> None:
    model = artefact(tmp_path / "site" / "model")
    site = write_site(model, tmp_path / "site")
    assert (site.folder / "model" / "model.onnx").read_bytes() == b"graph"


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
