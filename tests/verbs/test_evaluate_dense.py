"""`pocketeye eval` of detectors and segmenters as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pocketeye.cli import main
from pocketeye.models.dense.described import DenseTask
from pocketeye.verbs.evaluate.dense_result import DetectionEvaluateResult, SemanticEvaluateResult
from pocketeye.verbs.evaluate.verb import evaluate
from tests.data.box_layouts import voc_xml, write_voc
from tests.data.mask_layouts import disc, rle, write_coco, write_labels
from tests.training.test_dense_predictor import write_run


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    pages = {"x": voc_xml([("a", (1, 1, 60, 40)), ("b", (11, 9, 30, 28))]), "y": voc_xml([])}
    return write_voc(tmp_path / "pets", pages, {"train": ["y"], "val": ["x", "y"]})


def run_of(tmp_path: Path, task: DenseTask) -> Path:
    return write_run(tmp_path / "run", task)


def test_a_detector(pets: Path, tmp_path: Path) -> None:
    run = run_of(tmp_path, "detect")
    result = evaluate(str(run), data=str(pets), device="cpu")  # model.json says which task
    assert isinstance(result, DetectionEvaluateResult)
    names = [path.name for path in result.written()]
    assert {"eval.json", "classes.csv", "pr.png", "confusion.png", "detections.json"} <= set(names)
    assert all(path.parent == run for path in result.written())
    said = result.to_dict()
    assert (said["task"], said["n"], said["objects"]) == ("detect", 2, 2)
    assert "box AP" in result.lines()[0]
    matches = result.result.matches
    threshold = f" --score-threshold {int(100 * matches.score) / 100:.2f}" if matches.f1 else ""
    assert result.next_commands() == [
        f"pocketeye predict {run} IMAGE{threshold}",
        f"pocketeye export {run} --data {pets}",
    ]
    again = evaluate(data=str(pets), results=run / "detections.json", out=tmp_path / "again")
    assert isinstance(again, DetectionEvaluateResult)
    assert again.result.reports[0].values == pytest.approx(
        result.result.reports[0].values, nan_ok=True
    )
    assert again.next_commands() == []


def test_instances(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = disc((48, 32), 20)
    row = {"image_id": 1, "category_id": 7, "bbox": [28, 12, 40, 40], "segmentation": rle(mask)}
    categories = ({"id": 7, "name": "b"}, {"id": 9, "name": "a"})
    data = write_coco(tmp_path / "set", [row], 2, categories)
    run = run_of(tmp_path, "instance")
    arguments = ["eval", str(run), "--data", str(data), "--split", "train", "--device", "cpu"]
    assert main([*arguments, "--out", str(tmp_path / "o"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) >= {"box", "mask", "voc", "best_f1", "classes"}
    assert [row["name"] for row in said["classes"]] == ["b", "a"]  # the data's order
    assert said["classes"][1]["mask_ap"] is None
    assert not (run / "eval.json").exists()


def test_a_segmenter(tmp_path: Path) -> None:
    labels = np.zeros((64, 96), int)
    labels[30:] = 1
    data = write_labels(tmp_path / "set" / "val", {"x": labels})
    (data.parent / "classes.yaml").write_text("names: [a, b]\n")
    run = run_of(tmp_path, "semantic")
    result = evaluate(str(run), data=str(data.parent), device="cpu")
    assert isinstance(result, SemanticEvaluateResult)
    assert [row.pixels for row in result.result.report.rows] == [30 * 96, 34 * 96]
    assert result.lines()[0].startswith("mean IoU [bold]")
    assert next(path.name for path in result.written()) == "eval.json"
    assert result.next_commands()[0] == f"pocketeye predict {run} IMAGE"


def test_what_masks_mean_is_the_networks_word(tmp_path: Path) -> None:
    """A folder without classes.yaml, and a network with the classes of CamVid."""
    from pocketeye.data.semantic.class_maps import KNOWN

    labels = np.full((64, 96), 11)
    labels[30:] = 3
    data = write_labels(tmp_path / "set" / "val", {"x": labels})
    run = write_run(tmp_path / "run", "semantic", KNOWN["camvid11"].names)
    result = evaluate(str(run), data=str(data.parent), device="cpu")
    assert isinstance(result, SemanticEvaluateResult)
    assert [row.pixels for row in result.result.report.rows if row.pixels] == [34 * 96]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--split", "nowhere"], "no list of the split 'nowhere'; there is train, val"),
        (["--classes", "camvid11"], "--classes means nothing to a detector"),
        (["--batch-size", "4"], "--batch-size means nothing to a detector"),
        (["--results", "x.json"], "score either a model"),
        (["--data", "digits"], "no data at digits"),
        (["--data", "nowhere"], "no data at nowhere"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    pets: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_of(tmp_path, "detect")
    before = sorted(run.iterdir())
    arguments = ["eval", str(run), "--device", "cpu"]
    arguments += [] if "--data" in more else ["--data", str(pets)]
    assert main([*arguments, *more]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(run.iterdir()) == before


def test_a_set_of_other_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_voc(tmp_path / "cars", {"x": voc_xml([("car", (1, 1, 60, 40))])}, {"val": ["x"]})
    run = run_of(tmp_path, "detect")
    assert main(["eval", str(run), "--data", str(root), "--device", "cpu"]) == 2
    assert "1 classes the network was not trained on (car)" in capsys.readouterr().err
    (root / "ImageSets" / "Main" / "val.txt").write_text("")
    assert main(["eval", str(run), "--data", str(root), "--device", "cpu"]) == 2
    assert "image that can be used" in capsys.readouterr().err
    assert main(["eval", "--data", str(root), "--results", "nowhere.json"]) == 2
    assert "no results at nowhere.json" in capsys.readouterr().err
    assert main(["eval", str(run)]) == 2
    assert "a detector is judged on images with boxes" in capsys.readouterr().err
