"""Sets that CVAT, LabelMe and Label Studio annotated are read to train on, as these tools write them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import load_images
from pocketeye.data.describing.description import describe
from pocketeye.data.detection.samples import load_detection
from pocketeye.data.labelled.image_sets import labelled_layout, labelled_splits
from pocketeye.data.labelled.label_studio import image_paths
from pocketeye.data.labelled.writing.label_files import LabelFiles
from pocketeye.data.semantic.samples import load_semantic
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.results import Masks, Result

SIZE = (40, 30)


def save_image(path: Path, size: tuple[int, int] = SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "#336699").save(path)
    return path


def cvat_image(name: str, inside: str, more: str = "") -> str:
    return f'<image id="0" name="{name}" {more} width="40" height="30">{inside}</image>'


def cvat(path: Path, images: str) -> Path:
    """The head is that of CVAT's manual."""
    labels = "".join(
        f"<label><name>{name}</name><color>#c06060</color><type>any</type></label>"
        for name in ("road", "car")
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        f"<id>4</id><name>street</name><labels>{labels}</labels></task></meta>{images}</annotations>",
        "utf-8",
    )
    return path


BOX = '<box label="car" source="manual" occluded="0" xtl="1" ytl="2" xbr="11" ybr="12"></box>'
POLYGON = '<polygon label="road" occluded="0" points="0,20;40,20;40,30;0,30"></polygon>'


@pytest.fixture
def cvat_set(tmp_path: Path) -> Path:
    """Eleven images as CVAT exports a task with its images."""
    names = [f"a/{n}.png" for n in range(10)]
    for name in (*names, "none.png"):
        save_image(tmp_path / "images" / name)
    images = "".join(cvat_image(name, BOX + POLYGON) for name in names)
    cvat(
        tmp_path / "annotations.xml",
        images + cvat_image("none.png", "") + cvat_image("gone.png", BOX),
    )
    return tmp_path


@pytest.mark.parametrize("by_file", [True, False])
def test_cvat_boxes(cvat_set: Path, by_file: bool) -> None:
    root = cvat_set / "annotations.xml" if by_file else cvat_set
    whole = load_detection(root)
    assert (whole.layout, whole.classes, len(whole)) == ("cvat", ("road", "car"), 11)
    assert whole.num_negatives == 1
    assert [text for text in whole.problems if "gone.png" in text]
    sample = whole.read(0)
    assert sample.targets.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(sample.targets.boxes, [[1, 2, 11, 12], [0, 20, 40, 30]])
    assert sample.targets.mask(1).sum() == 400


def test_a_set_without_parts_holds_out_a_fifth(cvat_set: Path) -> None:
    train, val = load_detection(cvat_set, "train"), load_detection(cvat_set, "val")
    assert (len(train), len(val)) == (9, 2)
    assert not {train.name(n) for n in range(9)} & {val.name(n) for n in range(2)}
    assert [text for text in val.problems if "a fifth" in text]
    with pytest.raises(MissingFile, match="no split 'test'"):
        load_detection(cvat_set, "test")


def test_outlines_alone_are_learnt_for_instances(cvat_set: Path) -> None:
    found = load_detection(cvat_set, masks=True)
    assert found.class_counts().tolist() == [10, 0]
    assert sum("no outline" in text for text in found.problems) == 10


@pytest.mark.parametrize("kind", ["subset", "files", "folders"])
def test_parts_of_cvat(tmp_path: Path, kind: str) -> None:
    for name in ("0.png", "1.png"):
        save_image(tmp_path / "images" / name)
    first, second = (cvat_image(f"{n}.png", BOX) for n in range(2))
    if kind == "subset":
        subsets = cvat_image("0.png", BOX, 'subset="Train"') + cvat_image(
            "1.png", BOX, 'subset="Validation"'
        )
        cvat(tmp_path / "annotations.xml", subsets)
    elif kind == "files":
        cvat(tmp_path / "train.xml", first)
        cvat(tmp_path / "val.xml", second)
    else:
        cvat(tmp_path / "train" / "annotations.xml", first)
        cvat(tmp_path / "val" / "annotations.xml", second)
    assert len(labelled_splits(tmp_path, "cvat")) == 2
    train, val = load_detection(tmp_path, "train"), load_detection(tmp_path, "val")
    assert (train.name(0), val.name(0)) == ("images/0.png", "images/1.png")
    assert (len(train), len(val), train.classes) == (1, 1, val.classes)


def labelme(image: Path, shapes: list[dict[str, Any]], **more: Any) -> None:
    """A page as LabelMe 5 writes it."""
    page = {
        "version": "5.2.1", "flags": {}, "shapes": shapes, "imagePath": image.name,
        "imageData": "iVBORw0KGgo=", "imageHeight": SIZE[1], "imageWidth": SIZE[0], **more,
    }  # fmt: skip
    image.with_suffix(".json").write_text(json.dumps(page), "utf-8")


def shape(label: str, kind: str, points: list[list[float]]) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "description": "", "shape_type": kind,
            "flags": {}}  # fmt: skip


@pytest.fixture
def labelme_set(tmp_path: Path) -> Path:
    """Two parts; an image that was renamed with its page, and a path of Windows."""
    for part, count in (("train", 3), ("val", 1)):
        for n in range(count):
            image = save_image(tmp_path / part / f"{n}.jpg")
            shapes = [
                shape("sky", "polygon", [[0, 0], [40, 0], [40, 10], [0, 10]]),
                shape("kite", "rectangle", [[30, 20], [5, 5]]),
                shape("kite", "circle", [[20, 5], [20, 8]]),
            ]
            labelme(image, shapes, imagePath=("old.jpg", "..\\pics\\1.jpg", "2.jpg")[n])
    labelme(tmp_path / "train" / "9.jpg", [])
    return tmp_path


def test_labelme(labelme_set: Path) -> None:
    train = load_detection(labelme_set, "train")
    assert (train.layout, train.classes, len(train)) == ("labelme", ("kite", "sky"), 3)
    np.testing.assert_array_equal(train.targets(0).boxes[1], [5, 5, 30, 20])
    assert train.targets(0).outlines[1] is None
    assert [text for text in train.problems if "9.jpg" in text]
    assert len(load_detection(labelme_set, "val")) == 1


def test_labelme_as_labels_of_pixels(labelme_set: Path) -> None:
    train = load_semantic(labelme_set, "train")
    assert train.classes == ("background", "kite", "sky")
    labels = train.read(0).targets
    # The circle was drawn last, and lies on top of the sky.
    assert (labels[5, 20], labels[5, 2], labels[29, 39]) == (1, 2, 0)
    assert [text for text in train.problems if "without outline" in text]
    again = pickle.loads(pickle.dumps(train.subset([2, 0])))
    assert again.name(0) == "train/2.jpg"
    np.testing.assert_array_equal(again.targets(1), labels)
    (labelme_set / "classes.yaml").write_text("names: [sky]\n")
    ignored = load_semantic(labelme_set, "train")
    assert ignored.classes == ("sky",)
    labels = ignored.targets(0)
    assert (labels[5, 20], labels[5, 2], labels[29, 39]) == (255, 0, 255)
    assert [text for text in ignored.problems if "class kite" in text]


def task(image: str, result: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    made = {
        "id": 8,
        "completed_by": 1,
        "result": result,
        "was_cancelled": False,
        "ground_truth": False,
    }
    return {"id": 1, "annotations": [made], "file_upload": image.rpartition("/")[2], "drafts": [],
            "predictions": [], "data": {"caption": "x", "image": image}, "meta": {}, "project": 1,
            **more}  # fmt: skip


def region(kind: str, value: dict[str, Any], label: str) -> dict[str, Any]:
    return {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0,
            "value": {**value, kind: [label]}, "id": "x1", "from_name": "label", "to_name": "image",
            "type": kind, "origin": "manual"}  # fmt: skip


def test_label_studio(tmp_path: Path) -> None:
    for name in ("upload/1/abcdef12-one.png", "two words.png", "images/three.png"):
        save_image(tmp_path / name)
    (tmp_path / "one.png").touch()
    box = region(
        "rectanglelabels", {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}, "car"
    )
    outline = region("polygonlabels", {"points": [[0, 0], [100, 0], [100, 50]]}, "road")
    tasks = [
        task("/data/upload/1/abcdef12-one.png", [box]),
        task("/data/local-files/?d=two%20words.png", [outline]),
        task("http://host:8080/data/upload/1/12345678-three.png", []),
        task("s3://bucket/away.png", [box]),
    ]
    (tmp_path / "export.json").write_text(json.dumps(tasks, indent=2))
    found = load_detection(tmp_path)
    assert (found.layout, found.classes, len(found)) == ("label-studio", ("car", "road"), 3)
    names = [found.name(n) for n in range(3)]
    assert names == ["images/three.png", "two words.png", "upload/1/abcdef12-one.png"]
    np.testing.assert_allclose(found.targets(2).boxes, [[4, 3, 24, 18]])
    assert found.num_negatives == 1
    assert found.targets(1).outlines[0] == [[0, 0, 40, 0, 40, 15]]
    assert load_detection(tmp_path / "export.json").classes == found.classes


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        (
            "/data/upload/0123abcd-a b.jpg",
            ("/data/upload/0123abcd-a b.jpg", "/data/upload/a b.jpg"),
        ),
        ("/data/local-files/?d=x/y%2Bz.jpg", ("x/y+z.jpg",)),
        ("https://h/a%20b.jpg?token=1", ("/a b.jpg",)),
        ("images/100%.jpg", ("images/100%.jpg",)),
        ("http://[bad", ("http://[bad",)),
    ],
)
def test_what_a_task_may_mean(value: str, paths: tuple[str, ...]) -> None:
    assert image_paths(value) == paths


@pytest.mark.parametrize("tool", ["cvat", "labelme", "label-studio"])
def test_classes_of_whole_images(tmp_path: Path, tool: str) -> None:
    names = [f"{n}.png" for n in range(10)]
    tags = ["cat" if n % 2 else "dog" for n in range(10)]
    for name in (*names, "untold.png"):
        save_image(tmp_path / name)
    if tool == "cvat":
        inside = (f'<tag label="{tag}" source="manual"></tag>' for tag in tags)
        said = "".join(map(cvat_image, names, inside))
        cvat(tmp_path / "annotations.xml", said + cvat_image("untold.png", ""))
    elif tool == "labelme":
        for name, tag in zip(names, tags, strict=True):
            labelme(tmp_path / name, [], flags={"cat": tag == "cat", "dog": tag == "dog"})
        labelme(tmp_path / "untold.png", [], flags={"cat": False})
    else:
        choices = [
            {"value": {"choices": [tag]}, "id": "a", "from_name": "c", "to_name": "image",
             "type": "choices"} for tag in tags
        ]  # fmt: skip
        tasks = [task(n, [c]) for n, c in zip(names, choices, strict=True)] + [
            task("untold.png", [])
        ]
        (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    train, val = load_images(tmp_path, "train"), load_images(tmp_path, "val")
    assert (len(train), len(val), train.classes) == (8, 2, ("cat", "dog"))
    assert [text for text in train.problems if "untold" in text]
    for index in range(8):
        sample = train.read(index)
        assert train.classes[sample.targets] == tags[int(Path(sample.name).stem)]
    described = describe(tmp_path)
    assert described is not None
    assert described.kind == "a class for every image"


def test_image_folders_stay_what_they_are(tmp_path: Path) -> None:
    """Boxes that somebody drew in a set of classes do not make it another kind of set."""
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            labelme(save_image(tmp_path / part / name / "0.jpg"), [])
    assert load_images(tmp_path, "train").classes == ("cat", "dog")


@pytest.mark.parametrize("form", ["cvat", "label-studio", "labelme"])
def test_what_we_write_is_trained_on(tmp_path: Path, form: str) -> None:
    """Outlines, and names in folders, come back as they were found."""
    masks = np.zeros((2, 30, 40), bool)
    masks[0, :10, :20], masks[1, 12:25, 5:30] = True, True
    pixels = np.zeros((30, 40, 3), np.uint8)
    paths = [save_image(tmp_path / "photos" / name) for name in ("a/1.png", "b/1.png", "b/2.png")]
    labels = LabelFiles(tmp_path / "set", form, paths)
    found = Result(size=SIZE, masks=Masks.from_dense(masks), labels=["x", "y"], image=pixels)
    with labels.writing():
        for place, path in enumerate(paths):
            labels.add_result(place, found, path.read_bytes(), pixels)
        labels.finish()
    assert labelled_layout(tmp_path / "set") == form
    loaded = load_detection(tmp_path / "set", masks=True)
    assert (len(loaded), loaded.classes) == (3, ("x", "y"))
    for index in range(3):
        np.testing.assert_array_equal(loaded.targets(index).masks().dense(), masks)
        assert (
            loaded.name(index).removeprefix("images/") == ("a/1.png", "b/1.png", "b/2.png")[index]
        )
    assert load_semantic(tmp_path / "set", "val").targets(0)[13, 6] == 2


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("annotations.xml", "<annotations><image", "no XML"),
        ("tasks.json", '[{"annotations": [], "data": {', "JSON|json"),
        ("tasks.json", '[{"annotations": [], "data": {}}]', "no object|no image"),
        ("annotations.xml", "<annotations></annotations>", "no object|no image"),
    ],
)
def test_damaged_files_of_labels(tmp_path: Path, name: str, text: str, word: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidValue, match=word):
        load_detection(tmp_path)


def test_names_that_lead_out_of_the_set(tmp_path: Path) -> None:
    save_image(tmp_path / "secret.png")
    save_image(tmp_path / "set" / "0.png")
    names = ("0.png", "../secret.png", str(tmp_path / "secret.png"))
    cvat(tmp_path / "set" / "annotations.xml", "".join(cvat_image(n, BOX) for n in names))
    found = load_detection(tmp_path / "set")
    assert [found.name(n) for n in range(len(found))] == ["0.png"]
    assert sum("leads out" in text for text in found.problems) == 2


def test_one_damaged_page_of_many(labelme_set: Path) -> None:
    (labelme_set / "train" / "1.json").write_text('{"shapes": [')
    found = load_detection(labelme_set, "train")
    assert len(found) == 2
    assert [text for text in found.problems if text.startswith("1.json")]
