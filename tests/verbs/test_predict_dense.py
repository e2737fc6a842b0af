"""`pocketeye predict` with a detector or a segmenter, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.cli import main
from pocketeye.data.detection.samples import load_detection
from pocketeye.errors import InvalidValue
from pocketeye.models.dense.described import DenseTask
from pocketeye.outputs import held
from pocketeye.results import Masks
from pocketeye.verbs.predict.dense import DensePredictResult
from pocketeye.verbs.predict.verb import predict
from tests.data.mask_layouts import photo
from tests.training.test_dense_predictor import write_run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two images and a file that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(0).save(folder / "a.png")
    photo(1, (50, 70)).save(folder / "b.jpg")
    (folder / "c.jpg").write_text("no image")
    return folder


def run(tmp_path: Path, task: DenseTask, photos: Path, **more: object) -> DensePredictResult:
    model = tmp_path / "run"
    if not model.exists():
        write_run(model, task)
    result = predict(str(model), [str(photos)], device="cpu", **more)  # type: ignore[arg-type]
    assert isinstance(result, DensePredictResult)
    return result


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_objects(tmp_path: Path, photos: Path, task: DenseTask) -> None:
    out = tmp_path / "deep" / "out"
    result = run(tmp_path, task, photos, out=out, score_threshold=0.2)
    assert result.problems == (f"{photos / 'c.jpg'}: not an image",)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "detections.json"]
    with Image.open(out / "b.png") as drawn:
        assert drawn.size == (50, 70)
        assert np.asarray(drawn).tolist() != np.asarray(Image.open(photos / "b.jpg")).tolist()
    said = json.loads((out / "detections.json").read_text())
    assert [image["file_name"] for image in said["images"]] == [
        str(photos / "a.png"), str(photos / "b.jpg"),
    ]  # fmt: skip
    assert said["categories"] == [{"id": 5, "name": "a"}, {"id": 7, "name": "b"}]
    rows = said["annotations"]
    assert rows
    assert all(row["score"] >= 0.2 and row["category_id"] in (5, 7) for row in rows)
    assert [row["id"] for row in rows] == list(range(1, len(rows) + 1))
    assert ("segmentation" in rows[0]) == (task == "instance")
    first = result.to_dict()["predictions"][0]
    ids = {"a": 5, "b": 7}
    assert [ids[row["label"]] for row in first["found"] if row["area"]] == [
        row["category_id"] for row in rows if row["image_id"] == 1
    ]
    assert "found" in result.lines()[0]
    assert result.next_commands() == [f"pocketeye export {tmp_path / 'run'}"]


def test_classes_of_pixels(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    result = run(tmp_path, "semantic", photos, out=out)
    assert sorted(path.name for path in (out / "labels").iterdir()) == ["a.png", "b.png"]
    labels = np.asarray(Image.open(out / "labels" / "a.png"))
    assert labels.shape == (64, 96)
    said = json.loads((out / "detections.json").read_text())
    own = [row for row in said["annotations"] if row["image_id"] == 1]
    masks = Masks.from_rle([row["segmentation"] for row in own])
    for row, mask in zip(own, masks.dense(), strict=True):
        assert np.array_equal(mask, labels == row["category_id"] - 1)
    with Image.open(out / "a.png") as drawn:
        assert drawn.height > 64  # the legend
    (first, *_) = result.to_dict()["predictions"]
    assert sum(row["share"] for row in first["found"]) == pytest.approx(1)
    assert "%" in result.lines()[1]


def test_nothing_is_overwritten_unasked(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = str(write_run(tmp_path / "run", "detect"))
    arguments = ["predict", model, str(photos / "a.png"), "--device", "cpu"]
    assert main(arguments) == 0
    assert (tmp_path / "out" / "predict" / "run" / "a.png").is_file()
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0


def test_one_output_has_one_writer(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with held(out), pytest.raises(InvalidValue, match="out is being written by another process"):
        run(tmp_path, "detect", photos, out=out)
    assert run(tmp_path, "detect", photos, out=out).files == (out, out / "detections.json")


def test_images_of_the_same_name_are_numbered(tmp_path: Path, photos: Path) -> None:
    (photos / "more").mkdir()
    photo(5).save(photos / "more" / "A.png")
    out = tmp_path / "out"
    run(tmp_path, "detect", photos, out=out)
    names = [path.name for path in sorted(out.iterdir())]
    assert names == ["0001-a.png", "0002-b.png", "0004-A.png", "detections.json"]


def test_a_threshold_above_everything_is_explained(tmp_path: Path, photos: Path) -> None:
    result = run(tmp_path, "detect", photos, out=tmp_path / "out", score_threshold=1.0)
    assert "no object has a score of 1 or more: lower --score-threshold" in result.lines()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--topk", "3"], "--topk means nothing to a detector"),
        (["--csv", "x.csv"], "--csv means nothing to a detector"),
        (["--score-threshold", "7"], "--score-threshold must be from 0 to 1, got 7"),
        (["--out", "photos/a.png"], "--out takes a folder, and photos/a.png is a file"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    tmp_path: Path, photos: Path, more: list[str], message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", "detect")
    assert main(["predict", "run", "photos/a.png", "--device", "cpu", *more]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_image_at_all(tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(write_run(tmp_path / "run", "detect"))
    out = str(tmp_path / "out")
    assert main(["predict", model, str(photos / "c.jpg"), "--out", out, "--device", "cpu"]) == 2
    assert "none of 1 images can be read; first: " in capsys.readouterr().err
    assert main(["predict", "fbnet_c", "x.png", "--score-threshold", "0.5"]) == 2
    assert "--score-threshold means nothing to a classifier" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "form"), [("detect", "yolo-detect"), ("instance", "cvat"), ("semantic", "voc")]
)
def test_labels_for_annotation_tools(
    tmp_path: Path, photos: Path, task: DenseTask, form: str
) -> None:
    out = tmp_path / "set"
    more = {} if task == "semantic" else {"score_threshold": 0.2}
    result = run(tmp_path, task, photos, out=out, form=form, **more)
    assert result.problems == (f"{photos / 'c.jpg'}: not an image",)
    images = {"voc": "JPEGImages"}.get(form, "images")
    assert sorted(path.name for path in (out / images).iterdir()) == ["a.png", "b.jpg"]
    assert (out / images / "b.jpg").read_bytes() == (photos / "b.jpg").read_bytes()
    assert not (out / "detections.json").exists()
    assert result.written() == [out]
    assert ("holds no scores" in "\n".join(result.lines())) == (task != "semantic")
    if task == "semantic":
        kinds = np.unique(np.asarray(Image.open(out / "SegmentationClass" / "a.png")))
        assert {*kinds.tolist()} <= {1, 2}
    else:
        assert load_detection(out).classes[:2] == ("a", "b")
    with pytest.raises(InvalidValue, match="--overwrite"):
        run(tmp_path, task, photos, out=out, form=form, **more)


def test_labels_in_one_file(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "deep" / "found.json"
    result = run(tmp_path, "detect", photos, out=out, score_threshold=0.2)
    said = json.loads(out.read_text())
    assert [image["file_name"] for image in said["images"]] == ["a.png", "b.jpg"]
    assert said["categories"] == [{"id": 5, "name": "a"}, {"id": 7, "name": "b"}]
    assert result.written() == [out]
    assert [path.name for path in out.parent.iterdir()] == ["found.json"]
    with pytest.raises(InvalidValue, match="videos"):
        run(tmp_path, "detect", photos.parent / "x.mp4", form="voc")
