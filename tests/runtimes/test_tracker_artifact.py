"""Artefacts of trackers: what is checked when one is opened, the script in it, and a whole export."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from pocketeye.artifacts.tracker import TrackerManifest, graph_folder, load_tracker_graphs
from pocketeye.cli import main
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.exporting.tracker import graphs as graphs_module
from pocketeye.exporting.tracker.agreement import TrackAgreement, compare_masks
from pocketeye.exporting.tracker.graphs import (
    capacities,
    read_by_means,
    tracker_graphs,
    tracker_manifest,
)
from pocketeye.exporting.tracker.script import MODULES, tracker_script
from pocketeye.latency.record import LatencyRecord
from pocketeye.models import create_tam
from pocketeye.models.reference import ArtifactFolder, resolve
from pocketeye.models.tam.memory_rule import MemoryRule
from pocketeye.results import CompactMask
from pocketeye.runtimes import Artifact, TensorSpec
from pocketeye.runtimes._store import store
from pocketeye.tracking import Tracker
from pocketeye.tracking.engine.artifact_folder import open_artifact
from pocketeye.verbs.export import ExportResult, export
from tests.tracking.trackers import make_tracker, moving

ALONE = """
import runpy, sys
for name in ("torch", "pocketeye", "torchvision", "timm", "scipy"):
    sys.modules[name] = None  # as if they were not installed
sys.argv = sys.argv[2:]
runpy.run_path({script!r}, run_name="__main__")
"""


def some_onnx(path: Path) -> None:
    """A file that ONNX Runtime opens."""
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "g", *[[v] for v in values]
    )
    opset = helper.make_opsetid("", 20)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), path)


def write_artifact(folder: Path) -> TrackerManifest:
    """An artefact whose graphs compute nothing."""
    model = make_tracker().engine.model
    manifest = tracker_manifest(model, tracker_graphs(model))
    manifest.save(folder)
    for name in manifest.names:
        shapes = manifest.graphs[name]["shapes"]
        inputs = tuple(TensorSpec(name=n, shape=tuple(shape)) for n, shape in shapes.items())
        artifact = Artifact(
            folder=graph_folder(folder, name), file="model.onnx", runtime="onnxruntime",
            precision="fp32", inputs=inputs, outputs=(TensorSpec(name="y", shape=(1,)),),
        )  # fmt: skip
        store(artifact, some_onnx)
    return manifest


def test_opens_what_is_whole(tmp_path):
    manifest = write_artifact(tmp_path)
    graphs = load_tracker_graphs(tmp_path)
    assert set(graphs) == set(manifest.names)
    assert graphs.size_bytes > 0
    engine, curve = open_artifact(tmp_path)
    assert engine.facts.image_size == (96, 160)
    assert curve is None
    named = resolve(tmp_path / "tracker.json")
    assert isinstance(named, ArtifactFolder)
    assert named.task.takes_prompts


def test_refuses_what_is_not(tmp_path):
    write_artifact(tmp_path)
    path = tmp_path / "read-4" / "model.onnx"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    with pytest.raises(InvalidValue, match=r"read-4.*damaged.*export it again"):
        load_tracker_graphs(tmp_path)
    path.write_bytes(whole)
    artifact = Artifact.load(tmp_path / "write")
    replace(artifact, runtime="torch").save()
    with pytest.raises(InvalidValue, match=r"write is for the runtime 'torch'.*two artefacts"):
        load_tracker_graphs(tmp_path)
    replace(artifact, inputs=artifact.inputs[:1]).save()
    with pytest.raises(InvalidValue, match=r"write takes feat, and .*tracker.json says feat, mask"):
        load_tracker_graphs(tmp_path)
    artifact.save()
    (tmp_path / "decode" / "artifact.json").unlink()
    with pytest.raises(MissingFile, match="decode"):
        load_tracker_graphs(tmp_path)
    (tmp_path / "tracker.json").write_text("{}")
    with pytest.raises(InvalidValue, match=r"tracker.json"):
        load_tracker_graphs(tmp_path)


@pytest.mark.parametrize("rule", list(MemoryRule))
def test_capacities_hold_every_usual_frame(rule):
    held = capacities(rule, 7)
    assert list(held) == sorted(set(held))
    # Eight prompts, and what the rule reads besides.
    assert held[0] == 1
    assert held[-1] >= 8 + (5 if rule is MemoryRule.DISTINCT else 6)


def test_agreement():
    good = TrackAgreement(
        num_frames=60, iou=0.999, worst=0.97, worst_frame=16, seen=55, graphs={"image": 1e-6}
    )
    assert good.status == "PASS"
    assert "0.9990" in good.lines()[0]
    assert replace(good, iou=0.95).status == "WARN"
    assert replace(good, iou=0.5).status == "FAIL"
    blind = replace(good, iou=1.0, seen=0)
    assert blind.status == "WARN"
    assert "proves nothing" in " ".join(blind.lines())


def square(left: int, side: int = 10) -> CompactMask:
    mask = np.zeros((40, 60), bool)
    mask[5 : 5 + side, left : left + side] = side > 0
    return CompactMask.from_dense(mask)


def judged(torch_masks: list[CompactMask], got: list[CompactMask]) -> TrackAgreement:
    truth = [square(0), square(10), square(0, 0), square(20)]
    return compare_masks(torch_masks, got, truth, graphs={}, exact=False)


def test_int8_is_held_to_torch_where_torch_is_right():
    right = [square(0), square(10), square(0, 0), square(20)]
    lost = [square(0), square(10), square(30), square(40)]  # sees what is not there, then elsewhere
    # Torch lost it and int8 did not: nothing to blame int8 for, though they have little in common.
    better = judged(lost, right)
    assert better.judged is not None
    assert (better.judged.right, better.judged.iou) == (2, 1.0)
    assert better.judged.loss == pytest.approx(-0.5)
    assert better.iou == pytest.approx(0.5)
    assert better.status == "PASS"
    # The other way round it is a failure, and so is another mask where torch is right.
    assert judged(right, lost).status == "FAIL"
    narrower = square(0).dense() & (np.arange(60) > 0)  # nine columns of ten
    assert judged(right, [CompactMask.from_dense(narrower), *right[1:]]).status == "WARN"
    assert judged(right, [square(2), *right[1:]]).status == "FAIL"
    assert judged(lost, lost).status == "PASS"
    assert "J 50.0, torch 50.0" in " ".join(judged(lost, lost).lines())
    # A network that is never right proves nothing.
    blind = judged([square(40)] * 4, [square(40)] * 4)
    assert blind.status == "WARN"
    assert "right in none of 4" in " ".join(blind.lines())
    # In floats the truth has no say.
    assert compare_masks(lost, right, right, graphs={}, exact=True).status == "FAIL"


def test_memory_read_by_means():
    model = make_tracker().engine.model
    read_by_means(model)
    shape = tracker_manifest(model, tracker_graphs(model)).graphs["read-4"]["shapes"]["keys"]
    height, width = model.feat_size
    assert shape[2] == 4 * height * width // 4
    with pytest.raises(InvalidValue, match=r"by means already.*pool-memory"):
        read_by_means(model)
    odd = create_tam("pocketeye_tam_pico", (80, 96))
    with pytest.raises(InvalidValue, match=r"5x6 tokens.*multiple of 32"):
        read_by_means(odd)


def test_script_stands_alone():
    text = tracker_script("1.0")
    tree = ast.parse(text)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"av", "numpy", "onnxruntime", "PIL"}
    # Modules become one: what two of them call the same would be one thing.
    names: Counter[str] = Counter()
    for module in MODULES:
        for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names[node.name] += 1
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names.update(n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
    assert [name for name, count in names.items() if count > 1] == []


def test_script_reads_prompts_and_refuses_nonsense(tmp_path, monkeypatch):
    path = tmp_path / "track.py"
    path.write_text(tracker_script("1.0"), "utf-8")
    spec = importlib.util.spec_from_file_location("a_track_script", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "a_track_script", module)  # dataclasses look there
    spec.loader.exec_module(module)
    found = module.prompts_of(["1:24,36", "1:5,6:0", "2:1,2,30,40@7"])
    assert found[0][1].points == [(24.0, 36.0), (5.0, 6.0)]
    assert found[0][1].labels == [1, 0]
    assert found[7][2].labels == [2, 3]
    for wrong in ("24,36", "1:3", "1:3,x", "1:3,4@x"):
        with pytest.raises(SystemExit, match="is no object"):
            module.prompts_of([wrong])


def test_options_that_a_tracker_does_not_take(tmp_path):
    for options, words in (
        ({"data": "digits"}, "data"),
        ({"pretrained": True}, "pretrained"),
        ({"fuse": False}, "no-fuse"),
        ({"precision": "int4"}, "int4"),
        ({"input_size": 100}, "multiples of 16"),
    ):
        with pytest.raises(InvalidValue, match=words):
            export("pocketeye_tam_pico", out=tmp_path / "a", **options)


@pytest.mark.slow
def test_export_and_script(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(graphs_module, "capacities", lambda *_: (1, 4))
    folder = tmp_path / "artefact"
    result = export("pocketeye_tam_pico", out=folder, input_size=64, samples=6)
    assert isinstance(result, ExportResult)
    assert result.parity.rel < 1e-4
    assert isinstance(result.agreement, TrackAgreement)
    assert result.agreement.iou > 0.99
    assert {"image", "read-4", "prompt"} <= set(
        json.loads((folder / "agreement.json").read_text())["graphs"]
    )
    assert set(LatencyRecord.load(folder / "latency.json").stages) == {
        "encode",
        "read",
        "decode",
        "write",
    }
    assert main(["info", str(folder)]) == 0
    assert "tracker" in capsys.readouterr().out
    # The script answers as a session does, without torch and pocketeye.
    frames, place = moving(6), tmp_path / "frames"
    place.mkdir()
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(place / f"{number}.png")
    code = ALONE.format(script=str(folder / "track.py"))
    words = [
        sys.executable,
        "-c",
        code,
        "-",
        "track.py",
        str(place),
        "1:30,40",
        "--out",
        str(tmp_path / "m"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    engine, _ = open_artifact(folder)
    with Tracker(engine).open(frames) as session:
        session.add(1, points=[[30, 40]])
        for number, found in enumerate(session.run()):
            assert found.masks is not None
            mask = np.asarray(Image.open(tmp_path / "m" / f"{number:05d}.png")) == 1
            assert np.array_equal(mask, found.masks.dense()[0])
