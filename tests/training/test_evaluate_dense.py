"""Judging detectors and segmenters, with a predictor that knows the answers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.detection.samples import DetectionSet, load_detection
from pocketeye.data.semantic.class_maps import numbered
from pocketeye.data.semantic.samples import SemanticSet, load_semantic
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.predicting.evaluation.coco_results import read_results
from pocketeye.predicting.evaluation.detection import evaluate_detection, judge_results
from pocketeye.predicting.evaluation.semantic import evaluate_semantic, judge_label_maps
from pocketeye.results import LabelMap, Result, color_of
from tests.data.mask_layouts import disc, photo, rle, write_coco, write_labels
from tests.training.dense_oracle import Oracle

CATEGORIES = ({"id": 3, "name": "cell"}, {"id": 8, "name": "dust"}, {"id": 9, "name": "none"})


@pytest.fixture
def cells(tmp_path: Path) -> DetectionSet:
    """Four images: two cells; a cell, a speck and a crowd; nothing; a cell."""
    places = [(1, 3, (20, 20), 9, 0), (1, 3, (60, 30), 14, 0), (2, 3, (30, 30), 12, 0),
              (2, 8, (75, 12), 5, 0), (2, 3, (70, 50), 12, 1), (4, 3, (48, 32), 20, 0)]  # fmt: skip
    rows = []
    for image, category, centre, radius, crowd in places:
        mask = disc(centre, radius)
        ys, xs = np.nonzero(mask)
        box = [int(xs.min()), int(ys.min()), int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1]
        rows.append({"image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd,
                     "area": int(mask.sum()), "segmentation": rle(mask)})  # fmt: skip
    return load_detection(write_coco(tmp_path / "set", rows, 4, CATEGORIES), masks=True)


def test_who_knows_everything(cells: DetectionSet, tmp_path: Path) -> None:
    result = evaluate_detection(Oracle(cells, "instance"), cells)
    assert (result.task, result.ap, result.matches.f1) == ("instance", 1, 1)
    assert result.voc.map_2010 == 1
    assert result.worst() == []
    assert [(row.name, row.n, row.mask_ap) for row in result.rows()] == [
        ("cell", 4, 1), ("dust", 1, 1), ("none", 0, None),
    ]  # fmt: skip
    files = result.save(tmp_path / "deep" / "out")
    assert [path.name for path in files] == [
        "eval.json", "classes.csv", "confusion.csv", "pr.png", "confusion.png", "detections.json",
    ]  # fmt: skip
    said = json.loads(files[0].read_text())
    assert (said["n"], said["objects"], said["mask"]["ap"], said["box"]["ap50"]) == (4, 5, 1, 1)
    assert said["box"]["ap_large"] is None
    with files[1].open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["class"] for row in table] == ["cell", "dust", "none"]
    assert [row["mask_ap50"] for row in table] == ["1", "1", ""]
    rows = json.loads(files[-1].read_text())
    assert {row["category_id"] for row in rows} == {3, 8}


def worse(index: int, found: Result) -> Result:
    """A cell is called dust, one is missed, one is found twice, one more in an image of none."""
    names = list(found.labels or ())
    if index == 0:
        return replace(found, labels=["dust", *names[1:]])
    if index == 1:
        return found.only([1])
    if index == 2:
        return Result(size=found.size, boxes=np.array([[5, 5, 30, 30]]), scores=[0.7],
                      labels=["cell"], image=found.image)  # fmt: skip
    boxes = np.concatenate([found.boxes, found.boxes + 1])
    return Result(size=found.size, boxes=boxes, scores=[0.9, 0.65], labels=["cell", "cell"],
                  image=found.image)  # fmt: skip


def test_who_makes_mistakes(cells: DetectionSet, tmp_path: Path) -> None:
    result = evaluate_detection(Oracle(cells, "detect", change=worse), cells)
    assert 0 < result.ap < 1
    assert result.task == "detect"
    # cell: right in images 1 and 4, wrong in 1, missed in 2
    assert result.matches.score <= 0.9
    worst = [result.samples.name(result.numbers[name]) for name in result.worst()]
    assert "002.jpg" in worst
    out = tmp_path / "out"
    assert "worst.png" in [path.name for path in result.save(out)]
    with Image.open(out / "worst.png") as sheet:
        assert sheet.width > 900
    perfect = evaluate_detection(Oracle(cells, "detect"), cells)
    assert "worst.png" not in [path.name for path in perfect.save(out)]
    assert not (out / "worst.png").exists()  # of the evaluation before


def test_one_class_alone_is_coloured_right_and_wrong(tmp_path: Path) -> None:
    boxes = [[5, 5, 30, 30], [60, 30, 30, 30]]
    rows = [{"image_id": 1, "category_id": 1, "bbox": box, "area": 900} for box in boxes]
    data = write_coco(tmp_path / "set", rows, 1, ({"id": 1, "name": "cell"},))  # type: ignore[arg-type]
    samples = load_detection(data)

    def moved(_: int, found: Result) -> Result:
        return replace(found, boxes=found.boxes + np.array([[0] * 4, [-30, 0, -30, 0]]))

    result = evaluate_detection(Oracle(samples, "detect", change=moved), samples)
    assert result.matches.score == pytest.approx(0.9)
    assert result.matches.confusion.tolist() == [[1, 1], [0, 0]]
    result = replace(result, matches=replace(result.matches, score=0.0))
    result.save(tmp_path / "out")
    pixels = np.asarray(Image.open(tmp_path / "out" / "worst.png")).reshape(-1, 3)
    for colour in (color_of(3), color_of(6)):
        assert (pixels == colour).all(axis=1).sum() > 100


def test_classes_are_matched_by_name(cells: DetectionSet) -> None:
    oracle = Oracle(cells, "instance", ("none", "star", "dust", "cell"))
    assert evaluate_detection(oracle, cells).ap == 1

    def stars(_: int, found: Result) -> Result:
        return replace(found, labels=["star"] * len(found))

    result = evaluate_detection(Oracle(cells, "instance", oracle.description.classes, stars), cells)
    assert result.ap == 0
    assert result.problems == (
        f"6 found objects are of classes that {cells.source} does not have: not judged",
    )
    with pytest.raises(
        InvalidValue, match=r"has 1 classes the network was not trained on \(dust\)"
    ):
        evaluate_detection(Oracle(cells, "detect", ("cell", "none")), cells)


def test_damaged_images_are_named(cells: DetectionSet, tmp_path: Path) -> None:
    path = tmp_path / "set" / "train2017" / "002.jpg"
    path.write_bytes(path.read_bytes()[:300])
    oracle = Oracle(cells, "instance")
    result = evaluate_detection(oracle, cells)
    assert (len(result.truths), oracle.seen, result.ap) == (3, 3, 1)
    assert len(result.problems) == 1
    assert result.problems[0].startswith("002.jpg: ")
    for file in path.parent.iterdir():
        file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(InvalidValue, match=r"none of the 4 images of .* can be read"):
        evaluate_detection(oracle, cells)


@pytest.mark.parametrize("task", ["detect", "instance"])
def test_results_are_judged_the_same_when_read_back(
    cells: DetectionSet, tmp_path: Path, task: str
) -> None:
    masks = task == "instance"
    change = {"change": worse} if not masks else {}
    result = evaluate_detection(Oracle(cells, task, **change), cells)  # type: ignore[arg-type]
    found = read_results(result.save(tmp_path)[-1], cells, masks=masks)
    again = judge_results(cells, found, "theirs", masks=masks)
    assert again.reports[-1].values == pytest.approx(result.reports[-1].values, nan_ok=True)
    assert again.matches.confusion.tolist() == result.matches.confusion.tolist()
    assert (again.seconds, again.images_per_second) == (None, None)


GOOD = {"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("rows", "masks", "message"),
    [
        ([{**GOOD, "category_id": 4}, GOOD], False,
         r"1 results have category_id 4, which .*set does not have \(it has 3, 8, 9\)"),
        ([{**GOOD, "image_id": 17}], False, "1 results have image_id 17, which .*1, 2, 3 …"),
        ([{**GOOD, "image_id": [1]}], False, r"image_id \[1\], which"),
        ([{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}], False, "'score' is missing"),
        ([{**GOOD, "bbox": [1, 2, 3]}], False, "a result of the image 1 cannot be used"),
        ([{**GOOD, "score": "high"}], False, "could not convert string to float"),
        ([GOOD], True, "'segmentation' is missing"),
        ([{**GOOD, "segmentation": {"size": [64, 96], "counts": [1]}}], True, "run lengths cover 1"),
        ([{**GOOD, "segmentation": {"size": [2, 2], "counts": [4]}}], True, "2x2"),
        ({"images": []}, False, "holds no COCO results: expected a list of"),
        ([1, 2], False, "holds no COCO results"),
        ("{", False, "is damaged, or no JSON"),
    ],
)  # fmt: skip
def test_results_that_are_none(
    cells: DetectionSet, tmp_path: Path, rows: object, masks: bool, message: str
) -> None:
    file = tmp_path / "results.json"
    file.write_text(rows if isinstance(rows, str) else json.dumps(rows))
    with pytest.raises(InvalidValue, match=message) as raised:
        read_results(file, cells, masks=masks)
    assert str(file) in str(raised.value)
    with pytest.raises(MissingFile, match="no results at"):
        read_results(tmp_path / "nowhere.json", cells, masks=masks)


@pytest.fixture
def streets(tmp_path: Path) -> SemanticSet:
    """Three maps of sky over road; the third has a car and pixels that count for nothing."""
    maps = {}
    for number, height in enumerate((20, 30, 40)):
        labels = np.zeros((64, 96), int)
        labels[height:] = 1
        maps[f"{number}"] = labels
    maps["2"][44:60, 10:40] = 2
    maps["2"][:5] = 255
    root = write_labels(tmp_path / "streets", maps)
    return load_semantic(root, classes=numbered(("sky", "road", "car")))


def test_a_segmenter_that_is_right(streets: SemanticSet, tmp_path: Path) -> None:
    oracle = Oracle(streets, "semantic", ("car", "tree", "road", "sky"))
    result = evaluate_semantic(oracle, streets)
    assert (result.miou, result.report.accuracy) == (1, 1)
    assert [row.iou for row in result.report.rows] == [1, None, 1, 1]
    files = [path.name for path in result.save(tmp_path / "out")]
    assert files == ["eval.json", "classes.csv", "confusion.csv", "confusion.png"]


def blind(index: int, labels: np.ndarray) -> np.ndarray:
    return np.ones_like(labels) if index == 1 else labels


def test_a_segmenter_that_sees_only_road(streets: SemanticSet, tmp_path: Path) -> None:
    result = evaluate_semantic(Oracle(streets, "semantic", change=blind), streets)
    # in the second image 30 of 64 rows are sky
    road = 96 * (44 + 34 + 24) - 16 * 30
    assert result.report.rows[1].iou == pytest.approx(road / (road + 30 * 96))
    assert next(iter(result.images)) == "images/1.jpg"
    assert result.images["images/1.jpg"] == pytest.approx((34 / 64) / 2)
    assert [row.name for row in result.worst] == ["images/1.jpg"]
    files = [path.name for path in result.save(tmp_path / "out")]
    assert files[-1] == "worst.png"
    said = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert said["miou"] == pytest.approx(result.miou)
    assert said["worst"][0] == {"image": "images/1.jpg", "miou": pytest.approx(34 / 128)}
    assert sum(map(sum, said["confusion"])) == 96 * (3 * 64 - 5)
    with pytest.raises(InvalidValue, match="1 classes the network was not trained on"):
        evaluate_semantic(_unknowing(streets), streets)


def _unknowing(streets: SemanticSet) -> Oracle:
    oracle = Oracle(streets, "semantic")
    oracle.description = replace(oracle.description, classes=("sky", "road"))
    return oracle


def test_images_a_segmenter_cannot_be_judged_by(streets: SemanticSet, tmp_path: Path) -> None:
    root = tmp_path / "streets"
    Image.fromarray(np.full((64, 96), 255, np.uint8)).save(root / "masks" / "0.png")
    photo(9, (50, 50)).save(root / "images" / "1.jpg")
    oracle = Oracle(streets, "semantic")
    result = evaluate_semantic(oracle, streets)
    assert list(result.images) == ["images/2.jpg"]
    first, second = result.problems
    assert first == "images/0.jpg: not one pixel with a class"
    assert second.startswith("images/1.jpg: an image of 50x50, but")


def test_label_images_are_judged(streets: SemanticSet, tmp_path: Path) -> None:
    folder = tmp_path / "found"
    for index in range(3):
        labels = np.minimum(streets.targets(index), 1)
        LabelMap(labels=labels, classes=streets.classes).save(folder / f"{index}.png", "labels")
    result = judge_label_maps(folder, streets)
    assert result.report.rows[2].iou == 0
    assert result.seconds is None
    (folder / "1.png").unlink()
    with pytest.raises(MissingFile, match=r"found has no 1\.png for the image images/1\.jpg"):
        judge_label_maps(folder, streets)
    Image.fromarray(np.full((64, 96), 3, np.uint8)).save(folder / "1.png")
    with pytest.raises(InvalidValue, match="has label 3, and there are 3 classes"):
        judge_label_maps(folder, streets)
    photo(1).save(folder / "1.png")
    with pytest.raises(InvalidValue, match="should be a label image of 96x64, and is of 96x64x3"):
        judge_label_maps(folder, streets)
    (folder / "1.png").write_text("no image")
    with pytest.raises(InvalidValue, match=r"1\.png cannot be read: not an image"):
        judge_label_maps(folder, streets)
    with pytest.raises(MissingFile, match="no results at"):
        judge_label_maps(tmp_path / "nowhere", streets)
