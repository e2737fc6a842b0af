"""Sets of images with labels: what is read, and what becomes of what is wrong."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import UnreadableImage
from pocketeye.data.sample import first_readable
from pocketeye.data.semantic.class_maps import IGNORE, KNOWN, numbered, read_class_map
from pocketeye.data.semantic.samples import (
    load_semantic,
    require_a_class,
    semantic_layout,
    semantic_splits,
)
from pocketeye.errors import InvalidValue, MissingFile
from tests.data.mask_layouts import photo, write_labels

YAML = "names: [sky, road]\nignore: 11\n"


def halves(low: int, high: int, size: tuple[int, int] = (12, 8)) -> np.ndarray:
    labels = np.full(size[::-1], high)
    labels[: size[1] // 2] = low
    return labels


def write_pairs(
    images: Path, masks: Path, maps: Mapping[str, np.ndarray], ending: str = ""
) -> None:
    """``ending`` is what a mask's name has more than its image's."""
    for folder in (images, masks):
        folder.mkdir(parents=True, exist_ok=True)
    for seed, (name, labels) in enumerate(maps.items()):
        photo(seed, (labels.shape[1], labels.shape[0])).save(images / f"{name}.png")
        stem = name.removesuffix("_leftImg8bit") + ending
        Image.fromarray(labels.astype(np.uint8)).save(masks / f"{stem}.png")


def test_ade20k_counts_classes_from_one(tmp_path: Path) -> None:
    for split in ("training", "validation"):
        write_pairs(tmp_path / "images" / split, tmp_path / "annotations" / split,
                    {"a": halves(0, 3)})  # fmt: skip
    rows = [
        "Idx\tRatio\tTrain\tVal\tStuff\tName",
        *(f"{k}\t0\t0\t0\t0\tn{k}, x" for k in range(1, 151)),
    ]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(rows))
    found = load_semantic(tmp_path, "val")
    assert (found.layout, found.split, len(found.classes)) == ("ade20k", "val", 150)
    assert found.classes[2] == "n3"
    assert np.unique(found.targets(0)).tolist() == [2, IGNORE]
    assert (found.targets(0)[0] == found.ignore_index).all()  # 0: everything else
    assert found.problems == ()
    (tmp_path / "objectInfo150.txt").unlink()
    found = load_semantic(tmp_path, "train")
    assert (found.classes[-1], found.name(0)) == ("150", "images/training/a.png")
    assert found.problems == (
        "objectInfo150.txt: missing, so that the classes are called 1 to 150",
    )


def test_cityscapes_ids_become_train_ids(tmp_path: Path) -> None:
    images, masks = tmp_path / "leftImg8bit" / "val", tmp_path / "gtFine" / "val"
    maps = {"ulm_1_leftImg8bit": halves(7, 33), "ulm_2_leftImg8bit": halves(4, 26)}
    write_pairs(images / "ulm", masks / "ulm", maps, "_gtFine_labelIds")
    found = load_semantic(tmp_path, "val")
    assert (found.layout, len(found), found.problems) == ("cityscapes", 2, ())
    assert [np.unique(found.targets(i)).tolist() for i in (0, 1)] == [[0, 18], [13, IGNORE]]
    assert (found.classes[0], found.classes[13], found.classes[18]) == ("road", "car", "bicycle")
    write_pairs(images / "ulm", masks / "ulm", {"ulm_1_leftImg8bit": halves(0, 255)},
                "_gtFine_labelTrainIds")  # fmt: skip
    found = load_semantic(tmp_path, "val")
    assert np.unique(found.targets(0)).tolist() == [0, IGNORE]
    assert len(found.classes) == 19
    assert found.problems == ("leftImg8bit/val/ulm/ulm_2_leftImg8bit.png: no mask of that name",)


@pytest.mark.parametrize(
    ("images", "masks", "ending", "lists"),
    [
        ("train/images", "train/masks", "", False),
        ("images/train", "labels/train", "_L", False),
        ("train", "trainannot", "", False),
        ("images", "masks", "_P", True),
    ],
)
def test_folders(tmp_path: Path, images: str, masks: str, ending: str, lists: bool) -> None:
    maps = {"a": halves(0, 1), "b": halves(1, 11)}
    write_pairs(tmp_path / images, tmp_path / masks, maps, ending)
    (tmp_path / "classes.yaml").write_text(YAML)
    if lists:
        (tmp_path / "train.txt").write_text("/data/images/b.png /data/masks/b.png\n\nc.png\n")
    found = load_semantic(tmp_path, "train")
    assert (found.layout, found.classes) == ("folders", ("sky", "road"))
    assert semantic_splits(tmp_path, "folders") == ("train",)
    assert len(found) == (1 if lists else 2)
    assert found.problems == (("train.txt: c.png: missing image",) if lists else ())
    sample = found.read(len(found) - 1)
    labels = sample.targets
    assert (sample.image.size, labels.dtype) == ((12, 8), np.uint8)
    assert np.unique(labels).tolist() == [1, IGNORE]
    again = pickle.loads(pickle.dumps(found))  # loader processes get it so
    assert (again.targets(len(found) - 1) == labels).all()
    with pytest.raises(InvalidValue, match="is split: name one of train"):
        load_semantic(tmp_path)
    with pytest.raises(MissingFile, match="no split 'val'; there is train"):
        load_semantic(tmp_path, "val")


def test_masks_in_colours_and_with_ids(tmp_path: Path) -> None:
    root = write_labels(tmp_path, {"ids": halves(23, 7), "rgb": halves(7, 7)})
    colours = np.zeros((8, 12, 3), np.uint8)
    colours[:4], colours[4:6] = (128, 64, 128), (70, 130, 180)
    Image.fromarray(colours).save(root / "masks" / "rgb.png")
    (root / "classes.yaml").write_text(
        "names: [road, sky]\nids: {7: road, 23: sky}\nignore: [3, [0, 0, 0]]\n"
        "colors: {road: [128, 64, 128], sky: [70, 130, 180]}\n"
    )
    found = load_semantic(root)
    assert np.unique(found.targets(0)).tolist() == [0, 1]
    assert found.targets(0)[0, 0] == 1
    assert found.targets(1)[:, 0].tolist() == [0] * 4 + [1] * 2 + [IGNORE] * 2
    assert found.problems == ()
    (root / "classes.yaml").write_text("names: [road, sky]\nids: {7: road, 23: sky}\n")
    assert load_semantic(root).problems == (
        "images/rgb.jpg: its mask has colours (RGB), not label numbers",
    )


def test_values_without_a_class_are_ignored_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maps = {name: halves(0, 1) for name in "abc"}
    maps["b"][0, :2] = 40
    maps["c"][0, 0], maps["c"][0, 1] = 40, 77
    found = load_semantic(write_labels(tmp_path, maps), classes=numbered(("sky", "road")))
    assert found.problems == ()
    with caplog.at_level(logging.WARNING):
        labels = [found.targets(i) for i in range(3)]
    assert [int((one == IGNORE).sum()) for one in labels] == [0, 2, 2]
    assert found.problems == (
        "images/b.jpg: value 40 in its mask has no class, such pixels are ignored",
        "images/c.jpg: value 40 in its mask has no class, such pixels are ignored",
        "images/c.jpg: value 77 in its mask has no class, such pixels are ignored",
    )
    assert caplog.text.count("value 40 in its mask") == 1  # the first mask stands for all
    wide = numbered(("sky",)).labels(np.array([[0, -5, 70000, 65535]], np.int32))
    assert wide[0].tolist() == [[0, IGNORE, IGNORE, IGNORE]]
    assert len(wide[1]) == 3
    for name in "abc":
        Image.fromarray(halves(37, 38).astype(np.uint8)).save(tmp_path / "masks" / f"{name}.png")
    with pytest.raises(
        InvalidValue, match=r"100 % of the masks' pixels have no class \(value 37, "
    ):
        load_semantic(tmp_path, classes=numbered(("sky", "road")))


def test_what_does_not_fit_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_labels(tmp_path, {name: halves(0, 1) for name in "abcdefg"})
    (root / "classes.yaml").write_text(YAML)
    (root / "images" / "a.jpg").write_bytes(b"not an image")
    (root / "masks" / "b.png").write_bytes(b"")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(root / "masks" / "c.png")
    (root / "masks" / "d.png").unlink()
    (root / "images" / "e.jpg").unlink()
    for file in (root / "masks" / "f.png", root / "images" / "g.jpg"):
        file.write_bytes(file.read_bytes()[:-30])
    photo(1, (12, 8)).save(root / "images" / "h.jpg")
    Image.fromarray(halves(11, 255).astype(np.uint8)).save(root / "masks" / "h.png")
    found = load_semantic(root)
    assert found.problems == (
        "images/a.jpg: not an image",
        "images/b.jpg: its mask cannot be read (empty file)",
        "images/c.jpg: 12x8 pixels, but its mask has 9x9",
        "images/d.jpg: no mask of that name",
        "masks/e.png: missing image",
    )
    assert len(found) == 3
    for index in (0, 1):
        with pytest.raises(UnreadableImage):
            found.read(index)
    with caplog.at_level(logging.WARNING), pytest.raises(InvalidValue, match="3 damaged images"):
        first_readable(found, 1, require_a_class)
    assert "images/h.jpg: not one pixel with a class" in caplog.text
    assert (found.targets(2) == IGNORE).all()  # in judging it does no harm
    Image.fromarray(halves(0, 1).astype(np.uint8)).save(root / "masks" / "h.png")
    sample = first_readable(found, 0, require_a_class)
    assert (sample.index, sample.image.size, sample.targets.shape) == (2, (12, 8), (8, 12))


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("names: sky", "names must be a list of 1 to 255"),
        ("names: [a, a]", "two classes have the same name"),
        ("names: [a]\nclors: {}", r"unknown key in classes.yaml 'clors'. Did you mean 'colors'"),
        (
            "names: [road]\nids: {1: raod}",
            r"unknown class in classes.yaml 'raod'. Did you mean 'road'",
        ),
        ("names: [a]\nids: [1]", "ids and colors are mappings"),
        ("names: [a]\nignore: -1", "from 0 to 65535, got -1"),
        ("names: [a]\ncolors: {a: [1, 2, 300]}", r"a colour is \[red, green, blue\]"),
        ("names: [a]\nids: {4: a}\nignore: [4]", "the value 4 has a class and is ignored"),
        ("names: [a", "cannot be read as yaml"),
    ],
)
def test_a_yaml_that_is_refused(tmp_path: Path, yaml: str, said: str) -> None:
    (tmp_path / "classes.yaml").write_text(yaml)
    with pytest.raises(InvalidValue, match=said):
        read_class_map(tmp_path / "classes.yaml")


def test_ignoring_a_class_takes_its_value(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("names: [a, b, void]\nignore: 2\n")
    assert read_class_map(tmp_path / "classes.yaml").values == {0: 0, 1: 1, 2: IGNORE, 255: IGNORE}


def test_what_is_no_set_of_labels(tmp_path: Path) -> None:
    assert semantic_layout(tmp_path) is None
    with pytest.raises(MissingFile, match="no data at"):
        load_semantic(tmp_path / "nothing")
    with pytest.raises(InvalidValue, match="expected images and masks"):
        load_semantic(tmp_path)
    with pytest.raises(InvalidValue, match=r"unknown layout 'city'. Did you mean 'cityscapes'"):
        load_semantic(tmp_path, layout="city")  # type: ignore[arg-type]
    root = write_labels(tmp_path / "l", {"a": halves(0, 1)})
    with pytest.raises(InvalidValue, match=r"put classes.yaml beside them .*camvid11"):
        load_semantic(root)
    with pytest.raises(MissingFile, match=r"no classes at nowhere.yaml"):
        load_semantic(root, classes="nowhere.yaml")


def test_camvid(datasets: Path) -> None:
    root = datasets / "camvid11"
    assert semantic_splits(root, "folders") == ("train", "val", "test")
    found = load_semantic(root, "val", classes="camvid11")
    assert (len(found), found.classes, found.problems) == (101, KNOWN["camvid11"].names, ())
    sample = found.read(0)
    labels = sample.targets
    assert sample.image.size == (480, 360)
    shares = np.bincount(labels.ravel(), minlength=256) / labels.size
    assert shares[3] > 0.1  # the road
    assert 0 < shares[IGNORE] < 0.1
    assert found.problems == ()
