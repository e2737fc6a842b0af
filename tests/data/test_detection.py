"""Sets of images with boxes: what is read, and what becomes of what is wrong."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import UnreadableImage
from pocketeye.data.detection.layouts import detection_splits
from pocketeye.data.detection.samples import DetectionSet, load_detection
from pocketeye.data.sample import first_readable
from pocketeye.errors import InvalidValue, MissingFile
from tests.data.box_layouts import voc_xml, write_voc, write_yolo
from tests.data.mask_layouts import disc, photo, rle, write_coco

SQUARE = [[10.0, 8.0, 30.0, 8.0, 30.0, 28.0, 10.0, 28.0]]
DISC = disc((60, 30), 12)
PETS = ({"id": 3, "name": "dog"}, {"id": 1, "name": "cat"}, {"id": 90, "name": "hat"})
BOX = [10, 8, 20, 20]


def coco_row(image_id: int = 1, category: int = 1, **more: object) -> dict[str, object]:
    return {"image_id": image_id, "category_id": category, "bbox": BOX, **more}


def test_coco_closes_the_gaps_of_its_ids(tmp_path: Path) -> None:
    rows = [
        coco_row(1, 90, segmentation=SQUARE, area=390.5),
        coco_row(1, 1, bbox=[48, 18, 24, 24], segmentation=rle(DISC), iscrowd=1),
        coco_row(2, 3, bbox=[1.5, 2, 3, 4.25]),
    ]
    found = load_detection(write_coco(tmp_path, rows, categories=PETS))
    assert (found.layout, found.classes) == ("coco", ("cat", "dog", "hat"))
    assert (found.category_ids, found.problems) == ((1, 3, 90), ())
    first, second, third = map(found.targets, range(3))
    assert first.labels.tolist() == [2, 0]
    assert first.boxes.tolist() == [[10, 8, 30, 28], [48, 18, 72, 42]]
    assert first.areas.tolist() == [390.5, 576.0]
    assert first.crowd.tolist() == [False, True]
    assert (first.image_id, first.size, found.path(0).name) == (1, (96, 64), "001.jpg")
    assert first.masks().areas.tolist() == [400, DISC.sum()]
    assert second.boxes.tolist() == [[1.5, 2, 4.5, 6.25]]
    assert second.mask(0)[2:6, 2:4].all()  # of a box alone, the box
    assert (len(third), found.num_negatives) == (0, 1)  # an image without objects stays
    assert third.boxes.shape == (0, 4)
    assert len(third.masks()) == 0
    again: DetectionSet = pickle.loads(pickle.dumps(found))  # loader processes get it so
    assert again.targets(0).masks().areas.tolist() == [400, DISC.sum()]
    assert [len(found.targets(k)) for k in (1, 2)] == [1, 0]
    assert found.class_counts().tolist() == [1, 1, 1]


def test_coco_names_what_it_leaves_out(tmp_path: Path) -> None:
    rows = [
        coco_row(bbox=[90, 60, 20, 20]),
        coco_row(bbox=[200, 10, 5, 5]),
        coco_row(bbox=[10, 10, 0, 5]),
        coco_row(bbox=[10, 10, -3, 5]),
        coco_row(bbox=[10, float("nan"), 3, 5]),
        coco_row(bbox=[10, 10]),
        coco_row(bbox=None, segmentation=SQUARE),
        coco_row(9),
        coco_row(1, 2),
        coco_row(segmentation={"size": [64, 96], "counts": [9, 9]}),
        coco_row(segmentation=[[1.0, 2.0]]),
        coco_row(2, bbox=[95.2, 0, 1.5, 5]),
        coco_row(3),
        coco_row(4),
        {"image_id": [1], "category_id": {}},
    ]
    root = write_coco(tmp_path, rows, images=5, categories=PETS)
    (root / "train2017" / "003.jpg").write_bytes(b"no image")
    (root / "train2017" / "004.jpg").unlink()
    photo(5, (40, 40)).save(root / "train2017" / "005.jpg")
    found = load_detection(root, "train")
    assert found.problems == (
        "annotation 107: of no image in the file",
        "annotation 108: of the unknown category 2: left out",
        "annotation 114: of no image in the file",
        "annotation 100: a box that reaches out of the image: cut off",
        "annotation 101: a box outside the image: left out",
        "annotation 102: a box without area: left out",
        "annotation 103: a reversed box: left out",
        "annotation 104: a box with something else than numbers: left out",
        "annotation 105: no box: left out",
        "annotation 109: run lengths of 18 pixels for an image of 96x64: no outline",
        "annotation 110: a polygon of fewer than three points: no outline",
        "003.jpg: not an image: left out with its objects",
        "004.jpg: missing image: left out with its objects",
        "005.jpg: an image of 40x40, but the json says 96x64: left out",
    )
    first, second = map(found.targets, range(2))
    assert first.boxes.tolist() == [[90, 60, 96, 64], *[[10, 8, 30, 28]] * 3]
    assert [outline is None for outline in first.outlines] == [True, False, True, True]
    assert second.boxes[0, 2] == 96  # within a pixel: cut off without a word
    outlined = load_detection(root, "train", masks=True)
    assert [len(outlined.targets(k)) for k in (0, 1)] == [1, 0]
    assert "annotation 109: no outline: left out" in outlined.problems
    assert "002.jpg: none of its boxes can be used: an image without objects" in outlined.problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"categories": []}, "has no categories"),
        ({"categories": [{"id": 1}, {"id": 1}]}, "has no id of its own"),
        ({"images": [{"id": 1}, {"id": 1}]}, "two images of the id 1"),
        ({"images": []}, "no image that can be used; the first problem: annotation 100"),
        ({"annotations": 3}, "not COCO's"),
    ],
)
def test_a_json_that_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    write_coco(tmp_path, [coco_row()], categories=PETS)
    file = tmp_path / "annotations" / "instances_train2017.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(InvalidValue, match=said):
        load_detection(file)


def test_roboflow_keeps_a_json_beside_the_images(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        write_coco(tmp_path / split, [coco_row()], categories=PETS)
        json_file = tmp_path / split / "annotations" / "instances_train2017.json"
        json_file.rename(tmp_path / split / "_annotations.coco.json")
        for file in (tmp_path / split / "train2017").iterdir():
            file.rename(tmp_path / split / file.name)
    assert detection_splits(tmp_path, "coco") == ("train", "valid")
    assert len(load_detection(tmp_path, "val")) == 3
    with pytest.raises(InvalidValue, match=r"several jsons \(train, valid\)"):
        load_detection(tmp_path)


def test_voc_counts_pixels_from_one(tmp_path: Path) -> None:
    pages = {
        "a": voc_xml([("dog", (1, 1, 96, 64)), ("cat", (11, 9, 30, 28))], difficult=True),
        "b": voc_xml([]),
        "c": voc_xml([("ant", (5, 5, 9, 9))], size=(0, 0)),
    }
    root = write_voc(tmp_path, pages, {"train": ["a", "b"], "val": ["c"]})
    train, val = load_detection(root, "train"), load_detection(root, "validation")
    assert train.classes == val.classes == ("ant", "cat", "dog")  # of the whole set
    assert train.category_ids == (1, 2, 3)
    assert train.targets(0).boxes.tolist() == [[0, 0, 96, 64], [10, 8, 30, 28]]
    assert train.targets(0).labels.tolist() == [2, 1]
    assert train.targets(0).difficult.all()
    assert (train.num_negatives, train.problems, train.has_masks) == (1, (), False)
    assert val.targets(0).size == (96, 64)  # an xml that does not say
    assert val.targets(0).image_id == "c.jpg"
    assert len(load_detection(root)) == 3
    assert detection_splits(root, "voc") == ("train", "val")
    with pytest.raises(InvalidValue, match="no outlines, only boxes"):
        load_detection(root, "val", masks=True)
    with pytest.raises(MissingFile, match="no list of the split 'test'; there is train, val"):
        load_detection(root, "test")


def test_voc_names_what_it_leaves_out(tmp_path: Path) -> None:
    pages = {
        "a": voc_xml(
            [
                ("cat", (5, 5, 5, 5)),
                ("cat", (9, 5, 5, 9)),
                ("bat", (5, 5, 9, 9)),
                ("cat", (90, 5, 120, 9)),
            ]
        ).replace("<ymax>9</ymax></bndbox></object></ann", "<ymax>x</ymax></bndbox></object></ann"),
        "b": "<annotation><size>",
        "c": voc_xml([("cat", (90, 5, 120, 9))]),
        "d": voc_xml([("cat", (5, 5, 9, 9))], size=(640, 480)),
    }
    root = write_voc(tmp_path, pages, {"train": ["a", "b", "c", "d", "e"]})
    (root / "classes.txt").write_text("cat\ndog\n")
    photo(9).save(root / "JPEGImages" / "f.jpg")
    (root / "Annotations" / "g.xml").write_text(voc_xml([]))
    found = load_detection(root)
    assert found.classes == ("cat", "dog")
    assert [problem.replace("no element found: ", "") for problem in found.problems] == [
        "b.xml: cannot be read (line 1, column 18): left out with its image",
        "a.xml, object 1 (cat): a box without area: left out",
        "a.xml, object 2 (cat): a reversed box: left out",
        "a.xml, object 3 (bat): of an unknown class: left out",
        "a.xml, object 4 (cat): a box with something else than numbers: left out",
        "JPEGImages/a.jpg: none of its boxes can be used: an image without objects",
        "c.xml, object 1 (cat): a box that reaches out of the image: cut off",
        "JPEGImages/d.jpg: an image of 96x64, but the xml says 640x480: left out with its objects",
        "JPEGImages/f.jpg: no xml of that name: left out",
        "g.xml: missing image: left out",
    ]
    assert "e: no xml of that name: left out" in load_detection(root, "train").problems
    assert found.targets(1).boxes.tolist() == [[89, 4, 96, 9]]


def test_training_is_the_first_split_of_coco(tmp_path: Path) -> None:
    for name in ("test", "train", "valid"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "_annotations.coco.json").write_text("{}")
    assert detection_splits(tmp_path, "coco") == ("train", "valid", "test")


def test_voc_in_folders_of_splits(tmp_path: Path) -> None:
    for split, name in (("train", "cat"), ("valid", "dog")):
        (tmp_path / split).mkdir()
        photo(1).save(tmp_path / split / f"{name}.jpg")
        (tmp_path / split / f"{name}.xml").write_text(voc_xml([(name, (5, 5, 9, 9))]))
    found = load_detection(tmp_path, "val")
    assert (found.layout, found.classes, found.name(0)) == ("voc", ("cat", "dog"), "valid/dog.jpg")
    assert found.read(0).image.size == (96, 64)
    assert len(load_detection(tmp_path)) == 2
    assert detection_splits(tmp_path, "voc") == ("train", "valid")
    with pytest.raises(MissingFile, match="no split 'test'; there is train, valid"):
        load_detection(tmp_path, "test")


def test_yolo_reads_boxes_and_polygons(tmp_path: Path) -> None:
    texts = {
        "a": "1 0.5 0.5 0.25 0.5\n\n0 0.125 0.25 0.5 0.25 0.5 0.75 0.125 0.75\n",
        "b": "",
        "c": None,
    }
    root = write_yolo(tmp_path, texts, ("cat", "dog"))
    found = load_detection(root, "train")
    assert (found.layout, found.classes) == ("yolo", ("cat", "dog"))
    assert found.targets(0).boxes.tolist() == [[36, 16, 60, 48], [12, 16, 48, 48]]
    assert found.targets(0).labels.tolist() == [1, 0]
    assert found.targets(0).mask(1).sum() == 36 * 32
    assert (len(found), found.num_negatives, found.problems) == (3, 2, ())
    assert detection_splits(root, "yolo") == ("train",)
    (root / "data.yaml").write_text("names: [cat, dog]\nval: [list.txt, ../images/train]\n")
    (root / "list.txt").write_text("images/train/a.jpg\nimages/train/none.jpg\n")
    found = load_detection(root, "valid")
    assert (len(found), found.problems) == (
        3,
        ("images/train/none.jpg: missing image: left out",),
    )


def test_yolo_names_what_it_leaves_out(tmp_path: Path) -> None:
    lines = [
        "0 0.9 0.5 0.4 0.5", "2 0.5 0.5 0.1 0.1", "0.5 0.5 0.5 0.1 0.1", "0 40 30 20 20",
        "0 0.5 0.5 0.1", "0 0.5 x 0.1 0.1", "0 0.5 0.5 0 0.1", "0 0.5 0.5 -0.1 0.1",
        "0 0.1 0.1 0.2 0.1 0.3 0.1",
    ]  # fmt: skip
    root = write_yolo(tmp_path, {"a": "\n".join(lines), "b": "0 2 2 2"}, ("cat", "dog"))
    (root / "images" / "train" / "c.jpg").write_bytes(b"")
    (root / "labels" / "train" / "lost.txt").write_text("0 0.5 0.5 0.1 0.1")
    found = load_detection(root)
    assert found.problems == (
        "a.txt, line 1: a box that reaches out of the image: cut off",
        "a.txt, line 2: of the unknown class 2: left out",
        "a.txt, line 3: of the unknown class 0.5: left out",
        "a.txt, line 4: not shares of the image (0 to 1): left out",
        "a.txt, line 5: 3 numbers, neither a box (4) nor a polygon (6, 8 …): left out",
        "a.txt, line 6: something else than numbers: left out",
        "a.txt, line 7: a box without area: left out",
        "a.txt, line 8: a reversed box: left out",
        "a.txt, line 9: a box without area: left out",
        "b.txt, line 1: 3 numbers, neither a box (4) nor a polygon (6, 8 …): left out",
        "images/train/b.jpg: none of its boxes can be used: an image without objects",
        "images/train/c.jpg: empty file: left out",
        "lost.txt: missing image",
    )
    assert len(found.targets(0)) == 1


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("names: {0: cat, 2: dog}\ntrain: images/train", "numbers from 0 up"),
        ("names: []\ntrain: images/train", "names must be a list"),
        ("names: [cat]\ntrain: nowhere", "names nowhere, which is not there"),
        ("names: [cat]\nval: images/train", "no split 'train'; there is val"),
        ("names: [cat\n", "cannot be read as yaml"),
    ],
)
def test_a_yaml_that_is_refused(tmp_path: Path, yaml: str, said: str) -> None:
    write_yolo(tmp_path, {"a": None}, ("cat",))
    (tmp_path / "data.yaml").write_text(yaml)
    with pytest.raises((InvalidValue, MissingFile), match=said):
        load_detection(tmp_path, "train")


def test_a_image_that_was_turned(tmp_path: Path) -> None:
    """Boxes are for the size the annotations say, upright or as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for number, size in enumerate(((96, 64), (64, 96))):
        root = tmp_path / str(number)
        page = voc_xml([("cat", (5, 5, 9, 9))], size=size)
        write_voc(root, {"a": page}, {})
        photo(3).save(root / "JPEGImages" / "a.jpg", exif=exif)
        found = load_detection(root)
        assert found.problems == ()
        assert found.targets(0).size == found.read(0).image.size == size
    yolo = write_yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 1 0.5"}, ("cat",))
    photo(3).save(yolo / "images" / "train" / "a.jpg", exif=exif)
    assert load_detection(yolo).targets(0).boxes.tolist() == [[0, 24, 64, 72]]


def test_a_truncated_image_does_not_end_an_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_coco(tmp_path, [coco_row()], categories=PETS)
    for name in ("001.jpg", "002.jpg"):
        file = root / "train2017" / name
        file.write_bytes(file.read_bytes()[:-400])
    found = load_detection(root)
    with pytest.raises(UnreadableImage):
        found.read(0)
    with caplog.at_level(logging.WARNING):
        sample = first_readable(found, 0)
    assert (sample.index, len(sample.targets), sample.image.size) == (2, 0, (96, 64))
    assert "001.jpg: " in caplog.text
    assert [problem[:7] for problem in found.problems] == ["001.jpg", "002.jpg"]
    (root / "train2017" / "003.jpg").unlink()
    with pytest.raises(InvalidValue, match="3 damaged images in a row"):
        first_readable(found, 1)


def test_what_is_no_set_of_boxes(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no data at"):
        load_detection(tmp_path / "nothing")
    with pytest.raises(InvalidValue, match=r"expected annotations/\*.json"):
        load_detection(tmp_path)
    with pytest.raises(InvalidValue, match=r"unknown layout 'cocoo'. Did you mean 'coco'"):
        load_detection(tmp_path, layout="cocoo")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="no object in any of its xmls"):
        load_detection(write_voc(tmp_path / "v", {"a": voc_xml([])}, {}))
    with pytest.raises(MissingFile, match=r"no data.yaml"):
        load_detection(tmp_path, layout="yolo")


def test_real_sets(datasets: Path) -> None:
    blood = load_detection(datasets / "bccd", "train")
    assert (len(blood), blood.classes) == (205, ("Platelets", "RBC", "WBC"))
    assert blood.problems == ("BloodImage_00343.xml, object 4 (RBC): a box without area: left out",)
    coco = load_detection(datasets / "coco-mini", "val", masks=True)
    assert (len(coco), len(coco.objects.labels), coco.problems) == (50, 382, ())
    assert (coco.category_ids[10:13], len(coco.classes)) == ((11, 13, 14), 80)
    areas = np.concatenate([sample.masks().areas for sample in map(coco.targets, range(8))])
    said = np.concatenate([sample.areas for sample in map(coco.targets, range(8))])
    assert np.abs(areas - said).sum() / said.sum() < 0.01
