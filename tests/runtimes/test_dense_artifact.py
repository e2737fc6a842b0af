"""Artefacts of detectors and segmenters: as torch answers, and alone in a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from pocketeye.artifacts.dense import DenseManifest, load_dense_artifact
from pocketeye.cli import main
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.exporting.agreement import _matched
from pocketeye.exporting.dense_graphs import canvas_for
from pocketeye.latency.record import LatencyRecord
from pocketeye.models import Architecture, RetinaNet
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.task import task_named
from pocketeye.predicting.dense import open_dense_predictor
from pocketeye.verbs.bench import bench
from pocketeye.verbs.export import ExportResult, export
from pocketeye.verbs.predict.verb import predict
from tests.conftest import randomise_bn
from tests.training.dense_sets import write_coco_discs, write_semantic_discs
from tests.training.test_fit_dense import BACKBONE

ALONE = """
import runpy, sys
for name in ("torch", "pocketeye", "torchvision", "timm"):
    sys.modules[name] = None  # as if they were not installed
sys.argv = ["predict.py", sys.argv[2]]
runpy.run_path({script!r}, run_name="__main__")
"""


def write_run(folder: Path, task: str) -> Path:
    """A run with weights that are drawn, whose scores are spread out."""
    described = DenseDescription(
        task=task_named(task), backbone="tiny", classes=("ground", "red", "blue"), min_size=96,
        max_size=160,
        architecture=json.loads(Architecture.parse(BACKBONE).to_json()), fpn_channels=16,
        head_channels=16, category_ids=(1, 2, 3),
    )  # fmt: skip
    torch.manual_seed(1)
    network = randomise_bn(described.make())
    with torch.no_grad():
        if isinstance(network, RetinaNet):
            head = network.head.classification_head
            for conv in head.modules():
                if isinstance(conv, torch.nn.Conv2d):
                    torch.nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            head.cls_logits.bias.fill_(-3.0)
        elif task == "semantic":
            network.head.classifier.weight.mul_(100)
        else:
            network.roi_heads.box_predictor.cls_score.weight.mul_(30)
    folder.mkdir(parents=True)
    described.save(folder)
    save_file(network.state_dict(), folder / "best.safetensors")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    coco = write_coco_discs(root / "coco", {"train": 2, "val": 3})
    return {"detect": coco, "instance": coco,
            "semantic": write_semantic_discs(root / "semantic", {"train": 2, "val": 3})}  # fmt: skip


@pytest.fixture(
    scope="module",
    params=["detect", "semantic", pytest.param("instance", marks=pytest.mark.slow)],
)
def exported(
    request: pytest.FixtureRequest, sets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> ExportResult:
    root = tmp_path_factory.mktemp(request.param)
    run = write_run(root / "run", request.param)
    result = export(str(run), data=str(sets[request.param]), samples=3, out=root / "artefact")
    assert isinstance(result, ExportResult)
    return result


def test_an_artefact_answers_as_torch_does(exported: ExportResult) -> None:
    assert exported.parity.status == "PASS"
    assert exported.agreement is not None
    assert exported.agreement.num_images == 3
    assert exported.agreement.total > 10
    assert exported.agreement.found > 0.97
    assert exported.agreement.surplus <= 1
    unit = "pixels" if exported.agreement.iou is None else "objects"
    assert unit in exported.agreement.lines()[0]
    if exported.agreement.iou is not None:
        assert exported.agreement.iou > 0.97
        assert exported.agreement.score is not None
        assert exported.agreement.score < 0.01
    assert all(path.is_file() for path in exported.written())
    assert exported.exit_code == 0
    assert "prepare" in exported.lines()[-1]
    assert LatencyRecord.load(exported.artifact.folder / "latency.json") == exported.latency
    json.dumps(exported.to_dict(), default=str)


def test_an_artefact_alone(exported: ExportResult, tmp_path: Path, sets: dict[str, Path]) -> None:
    """predict.py in its folder, without torch and pocketeye, says what pocketeye says."""
    folder = exported.artifact.folder
    image = next((sets["detect"] / "val2017").glob("*.png"))
    place = tmp_path / "image.png"
    place.write_bytes(image.read_bytes())
    code = ALONE.format(script=str(folder / "predict.py"))
    done = subprocess.run(
        [sys.executable, "-c", code, "-", str(place)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = load_dense_artifact(folder)(np.asarray(Image.open(place).convert("RGB")))
    if isinstance(found, np.ndarray):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "image.labels.png")), found)
        return
    rows = [line.split() for line in done.stdout.splitlines()]
    assert len(rows) == len(found["boxes"]) > 0
    for row, box, score in zip(rows, found["boxes"], found["scores"], strict=True):
        assert [float(side) for side in row[2:6]] == pytest.approx(box.tolist(), abs=0.01)
        assert float(row[1]) == pytest.approx(float(score), abs=1e-4)


def test_predict_and_eval_take_the_folder(
    exported: ExportResult, sets: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = str(exported.artifact.folder)
    task = open_dense_predictor(folder).description.task
    data = sets[task.name]
    image = next((sets["detect"] / "val2017").glob("*.png"))
    assert predict(folder, [str(image)], out=tmp_path / "out").written()
    arguments = [
        "eval",
        folder,
        "--data",
        str(data),
        "--out",
        str(tmp_path / "eval"),
    ]
    assert main(arguments) == 0
    assert capsys.readouterr().out


def test_bench_times_the_whole_way(exported: ExportResult, tmp_path: Path) -> None:
    result = bench([str(exported.artifact.folder)] * 2, rounds=2, out=tmp_path)
    rows = result.to_dict()["rows"]
    assert len(rows) == 2
    assert rows[0]["ratio"] == 1
    assert [row["model"] for row in rows] == ["run", "run"]
    for row in rows:
        stages = row["record"]["stages"]
        assert list(stages) == ["prepare", "network", "decode"]
        whole = row["record"]["timing"]["undisturbed_ms"]
        assert 0.3 * whole < sum(stage["undisturbed_ms"] for stage in stages.values()) < 3 * whole
    assert all(path.is_file() for path in result.written())
    assert result.to_dict()["images"] == {"count": 1, "data": None, "split": None}
    assert "one bundled photograph again and again" in result.table.markdown()
    with pytest.raises(InvalidValue, match="is no detector or segmenter"):
        bench([str(exported.artifact.folder), "fbnet_a"], out=tmp_path)


def test_a_torch_artefact_has_its_size_and_no_script(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "semantic")
    result = export(str(run), to="torch", samples=1, out=tmp_path / "artefact")
    assert result.size_bytes == (tmp_path / "artefact" / "model.pt2").stat().st_size > 0
    assert result.parity.status == "PASS"
    assert not (tmp_path / "artefact" / "predict.py").exists()
    assert all(path.is_file() for path in result.written())
    assert result.latency.runtime == "torch"


def test_the_input_has_the_shape_of_most_images() -> None:
    wide, tall = np.zeros((360, 480, 3), np.uint8), np.zeros((640, 480, 3), np.uint8)
    assert canvas_for([wide, wide, tall], 360, 999, 1) == (360, 480)
    assert canvas_for([wide, tall, tall], 320, 999, 32) == (448, 320)
    assert canvas_for([], 320, 999, 32) == (320, 448)
    assert canvas_for([np.zeros((100, 300, 3))], 320, 480, 32) == (160, 480)
    with pytest.raises(InvalidValue, match="--input-size must be 32 pixels or more"):
        canvas_for([wide], 16, 999, 32)


def test_objects_that_belong_together() -> None:
    from pocketeye.results import Result

    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 9, 9]], np.float32)
    wanted = Result(
        size=(40, 40), boxes=boxes, scores=np.array([0.9, 0.8, 0.2]), class_ids=(0, 1, 0)
    )
    got = Result(size=(40, 40), boxes=boxes[:2] + 1, scores=np.array([0.7, 0.8]), class_ids=(0, 0))
    count, pairs = _matched(wanted, got)
    assert count == 2  # the third is not sure, the second has another class
    assert len(pairs) == 1
    assert pairs[0] == (pytest.approx(81 / 119), pytest.approx(0.2))
    assert _matched(got, wanted)[0] - len(_matched(got, wanted)[1]) == 1  # one that torch has not


def test_what_is_damaged_or_missing_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", "detect")
    for options, message in (
        ({"input_size": 20}, "--input-size must be 32"),
        ({"checkpoint": Path("x.pt")}, "--checkpoint means nothing"),
        ({"fuse": False}, "always folded"),
        ({"samples": 0}, "at least one image"),
    ):
        with pytest.raises(InvalidValue, match=message):
            export(str(run), out=tmp_path / "out", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    with pytest.raises(MissingFile, match="is not an artefact of a detector"):
        DenseManifest.load(tmp_path)
    (tmp_path / "dense.json").write_text('{"schema": "other"}')
    with pytest.raises(InvalidValue, match="is not a description of an artefact of a detector"):
        DenseManifest.load(tmp_path)
    (run / "best.safetensors").unlink()
    with pytest.raises(MissingFile, match="has no weights yet"):
        export(str(run), out=tmp_path / "out")
