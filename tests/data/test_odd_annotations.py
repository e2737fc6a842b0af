"""Annotations as other programs write them: read as they are meant, or refused by name."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.detection.layouts import detection_splits
from pocketeye.data.detection.samples import load_detection
from pocketeye.data.mask_sets.samples import load_masks
from pocketeye.data.semantic.class_maps import IGNORE
from pocketeye.data.semantic.samples import load_semantic
from pocketeye.errors import InvalidValue
from tests.data.box_layouts import voc_xml, write_voc, write_yolo
from tests.data.mask_layouts import disc, photo, rle, write_coco

CLASSES = ({"id": 1, "name": "cat"},)
BOX = [10, 8, 20, 20]
SQUARE = [10, 8, 30, 8, 30, 28, 10, 28]
PAIRS = [[10, 8], [30, 8], [30, 28], [10, 28]]


def row(**more: object) -> dict[str, object]:
    return {"image_id": 1, "category_id": 1, "bbox": BOX, **more}


def changed(root: Path, **lists: list[dict[str, Any]]) -> Path:
    """Replace lists in the json of a set."""
    file = root / "annotations" / "instances_train2017.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **lists}))
    return root


@pytest.mark.parametrize("flag", ["0", False, 0.0, None, "false"])
def test_coco_flags_and_numbers_as_text(tmp_path: Path, flag: object) -> None:
    rows = [row(iscrowd=flag, bbox=["10", "8", "20", "20"], area="300"), row(iscrowd="1")]
    targets = load_detection(write_coco(tmp_path, rows, categories=CLASSES)).targets(0)
    assert targets.crowd.tolist() == [False, True]
    assert targets.boxes[0].tolist() == [10, 8, 30, 28]
    assert targets.areas.tolist() == [300, 400]
    assert (
        len(load_masks(write_coco(tmp_path / "m", [row(iscrowd=flag, segmentation=SQUARE)]))) == 1
    )


def test_coco_categories_without_a_name_of_their_own(tmp_path: Path) -> None:
    unnamed = ({"id": 1, "name": ""}, {"id": 4, "name": None}, {"id": 6})
    assert load_detection(write_coco(tmp_path / "un", [row()], categories=unnamed)).classes == (
        "1", "4", "6",
    )  # fmt: skip
    called_as_its_class = (
        {"id": 0, "name": "cat", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "cat"},
    )
    found = load_detection(
        write_coco(tmp_path / "project", [row()], categories=called_as_its_class)
    )
    assert (found.classes, found.category_ids) == (("cat",), (1,))
    assert found.class_counts().tolist() == [1]
    alike = ({"id": 1, "name": "cat"}, {"id": 7, "name": "cat"})
    with pytest.raises(InvalidValue, match="two classes are called 'cat'"):
        load_detection(write_coco(tmp_path / "two", [row()], categories=alike))


def test_coco_ids_that_are_all_text(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [], 1)
    image = {"id": "12", "file_name": "001.jpg", "width": "96", "height": "64"}
    found = load_detection(
        changed(
            root, images=[image], categories=[{"id": "1", "name": "cat"}],
            annotations=[{"id": "5", "image_id": "12", "category_id": "1", "bbox": BOX}],
        )
    )  # fmt: skip
    assert (found.problems, found.category_ids) == ((), (1,))
    assert (found.targets(0).image_id, found[0].boxes.tolist()) == (12, [[10, 8, 30, 28]])


@pytest.mark.parametrize("key", ["image_id", "category_id"])
def test_coco_ids_of_two_kinds_are_refused(tmp_path: Path, key: str) -> None:
    root = write_coco(tmp_path, [row(**{key: "1"})], categories=CLASSES)
    with pytest.raises(InvalidValue, match=rf'instances_train2017.json.*{key} "1".*write both'):
        load_detection(root)


@pytest.mark.parametrize(
    "segmentation",
    [
        SQUARE, [SQUARE], PAIRS, [PAIRS], [list(map(str, SQUARE))],
        rle(np.pad(np.ones((20, 20), bool), ((8, 36), (10, 66)))),
        rle(np.pad(np.ones((20, 20), bool), ((8, 36), (10, 66))), compressed=False),
        [rle(np.pad(np.ones((20, 20), bool), ((8, 36), (10, 66))))],
    ],
)  # fmt: skip
def test_outlines_in_every_spelling(tmp_path: Path, segmentation: object) -> None:
    root = write_coco(tmp_path, [row(segmentation=segmentation)], categories=CLASSES)
    found = load_detection(root, masks=True)
    assert found.problems == ()
    assert found.targets(0).mask(0).sum() == 400
    masks = load_masks(root)
    (shape,) = masks.read(0).targets.shapes
    assert shape().sum() == 400


@pytest.mark.parametrize(
    ("file_name", "why"),
    [
        ("train2017\\001.jpg", None),
        ("C:\\data\\train2017\\001.jpg", None),
        ("/home/me/001.jpg", None),
        ("../../outside.jpg", "leads out of the set"),
        ("n" * 300, "missing image"),
    ],
)
def test_foreign_file_names(tmp_path: Path, file_name: str, why: str | None) -> None:
    root = write_coco(tmp_path / "set", [row(segmentation=SQUARE)], 2, CLASSES)
    photo(9).save(tmp_path / "outside.jpg")
    images = [{"id": 1, "file_name": file_name}, {"id": 2, "file_name": "002.jpg"}]
    found = load_detection(changed(root, images=images))
    assert len(found) == (1 if why else 2)
    if why:
        assert why in found.problems[0]
        with pytest.raises(InvalidValue, match=why):
            load_masks(root)
    else:
        assert (found.name(0), len(found[0]), len(load_masks(root))) == ("001.jpg", 1, 1)


def test_a_heading_is_no_class(tmp_path: Path) -> None:
    categories = (
        {"id": 0, "name": "fruits", "supercategory": "none"},
        {"id": 1, "name": "apple", "supercategory": "fruits"},
        {"id": 2, "name": "pear", "supercategory": "fruits"},
    )
    for split in ("train", "valid"):
        write_coco(tmp_path / split, [row()], 1, categories)
        file = tmp_path / split / "annotations" / "instances_train2017.json"
        file.rename(tmp_path / split / "_annotations.coco.JSON")
        image = tmp_path / split / "train2017" / "001.jpg"
        image.rename(tmp_path / split / "001.jpg")
    found = load_detection(tmp_path, "train")
    assert (found.classes, found.category_ids) == (("apple", "pear"), (1, 2))
    assert found.problems[0].startswith("fruits: no object has this category")
    # An object of it in any split makes it a class of all.
    file = tmp_path / "valid" / "_annotations.coco.JSON"
    file.write_text(file.read_text().replace('"category_id": 1', '"category_id": 0'))
    assert load_detection(tmp_path, "train").classes == ("fruits", "apple", "pear")


def test_voc_lists_of_every_spelling(tmp_path: Path) -> None:
    pages = dict.fromkeys(("my photo 1", "b", "c"), voc_xml([("cat", (11, 9, 30, 28))]))
    lines = ('"my photo 1"', "JPEGImages\\b.jpg", "c  -1")
    root = write_voc(tmp_path, pages, {"train": lines})
    for stem, suffix in (("b", ".XML"), ("c", ".xml")):
        page = root / "Annotations" / f"{stem}.xml"
        page.write_bytes(codecs.BOM_UTF8 + page.read_bytes())
        page.rename(page.with_suffix(suffix))
    (root / "JPEGImages" / "c.jpg").rename(root / "JPEGImages" / "c.JPG")
    (root / "ImageSets" / "Main" / "train.txt").rename(root / "ImageSets" / "Main" / "train.TXT")
    found = load_detection(root, "train")
    assert (found.problems, [len(objects) for objects in found]) == ((), [1, 1, 1])
    assert [found.name(k) for k in range(3)] == [
        "JPEGImages/my photo 1.jpg", "JPEGImages/b.jpg", "JPEGImages/c.JPG",
    ]  # fmt: skip


def test_yolo_as_windows_writes_it(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, {"a": "0 0.5 0.5 0.5 0.5\n", "b": "1 0.5 0.5 0.5 0.5\n"}, ["x"])
    for stem in "ab":
        text = root / "labels" / "train" / f"{stem}.txt"
        text.write_bytes(codecs.BOM_UTF8 + text.read_bytes())
    text.rename(text.with_suffix(".TXT"))
    yaml = root / "data.yaml"
    yaml.write_bytes(codecs.BOM_UTF8 + b"train: images\\train\nval:\nnames: [no, on]\n")
    yaml.rename(root / "data.YAML")
    found = load_detection(root, "train")
    assert (found.classes, found.problems) == (("no", "on"), ())
    assert found.objects.labels.tolist() == [0, 1]
    assert detection_splits(root, "yolo") == ("train",)


@pytest.mark.parametrize("place", ["label/train", "labels/train/labels", "annotations"])
def test_yolo_labels_in_the_wrong_folder_are_said(tmp_path: Path, place: str) -> None:
    root = write_yolo(tmp_path, {"a": "0 0.5 0.5 0.5 0.5\n"}, ["x"])
    (root / place).mkdir(parents=True)
    (root / "labels" / "train" / "a.txt").rename(root / place / "a.txt")
    with pytest.raises(InvalidValue, match=rf"labels/train/a.txt.*1 lie in {place}: move"):
        load_detection(root, "train")


def test_yolo_images_without_any_label_stay(tmp_path: Path) -> None:
    root = write_yolo(tmp_path, {"a": None, "b": ""}, ["x"])
    assert load_detection(root, "train").num_negatives == 2


def test_yolo_stays_in_its_set(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set", {"a": "0 0.5 0.5 0.5 0.5\n"}, ["x"])
    (tmp_path / "out").mkdir()
    photo(3).save(tmp_path / "out" / "o.jpg")
    lines = ("C:\\set\\images\\train\\a.jpg", "../out/o.jpg", str(tmp_path / "out" / "o.jpg"))
    (root / "list.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text(
        "train: list.txt\nval: ../out\ntest: ../images/train\nnames: [x]"
    )
    found = load_detection(root, "train")
    assert [found.name(k) for k in range(len(found))] == ["images/train/a.jpg"]
    assert sum("leads out of the set" in problem for problem in found.problems) == 2
    with pytest.raises(InvalidValue, match=r"names ../out, which lies outside.*`path:`"):
        load_detection(root, "val")
    assert len(load_detection(root, "test")) == 1
    (root / "data.yaml").write_text(f"path: {tmp_path / 'out'}\ntrain: .\nnames: [x]")
    assert load_detection(root, "train").path(0).name == "o.jpg"


def write_masks(root: Path, split: str, *maps: np.ndarray) -> None:
    for folder in ("images", "masks"):
        (root / split / folder).mkdir(parents=True, exist_ok=True)
    for number, labels in enumerate(maps):
        photo(number, (8, 6)).save(root / split / "images" / f"{number}.png")
        Image.fromarray(labels).save(root / split / "masks" / f"{number}.png")


def half(value: int) -> np.ndarray:
    labels = np.zeros((6, 8), np.uint8)
    labels[:3] = value
    return labels


def test_masks_of_0_and_255_are_two_classes(tmp_path: Path) -> None:
    write_masks(tmp_path, "train", half(255), half(255))
    write_masks(tmp_path, "val", half(0))  # shows no 255, and is read in the same way
    (tmp_path / "classes.yaml").write_text("names: [off, on]\n")
    train, val = load_semantic(tmp_path, "train"), load_semantic(tmp_path, "val")
    assert (train.classes, train.class_map) == (("off", "on"), val.class_map)
    assert np.unique(train.targets(0)).tolist() == [0, 1]
    assert "255 is taken for 'on'" in train.problems[0]


@pytest.mark.parametrize(
    ("yaml", "value"),
    [
        ("names: [off, on]\nignore: [255]\n", 255),  # said to be nothing
        ("names: [off, on, more]\n", 255),
        ("names: [off, on]\n", 1),
    ],
)
def test_255_is_nothing_where_it_is_not_a_class(tmp_path: Path, yaml: str, value: int) -> None:
    write_masks(tmp_path, "train", half(value), half(255))
    (tmp_path / "classes.yaml").write_text(yaml)
    found = load_semantic(tmp_path, "train")
    assert np.unique(found.targets(1)).tolist() == [0, IGNORE]


def test_masks_as_jpeg_are_refused(tmp_path: Path) -> None:
    write_masks(tmp_path, "train", half(1))
    Image.fromarray(half(1)).save(tmp_path / "train" / "masks" / "0.jpg")
    (tmp_path / "train" / "masks" / "0.png").unlink()
    (tmp_path / "classes.yaml").write_text("names: [off, on]\n")
    with pytest.raises(InvalidValue, match="JPEG, which does not keep label numbers"):
        load_semantic(tmp_path, "train")


def test_sa1b_with_suffixes_in_capitals(tmp_path: Path) -> None:
    mask = disc((40, 30), 10)
    photo(1).save(tmp_path / "sa_1.JPG")
    text = json.dumps({"annotations": [{"segmentation": rle(mask)}]}).encode()
    (tmp_path / "sa_1.JSON").write_bytes(codecs.BOM_UTF8 + text)
    found = load_masks(tmp_path)
    assert (found.layout, found.name(0)) == ("sa-1b", "sa_1.JPG")
    (shape,) = found.read(0).targets.shapes
    assert (shape() == mask).all()
