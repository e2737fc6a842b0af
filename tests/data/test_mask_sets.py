"""Sets of images with masks: what is read, and what becomes of what is wrong."""

from __future__ import annotations

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import UnreadableImage
from pocketeye.data.files.annotations.shapes import polygon_mask
from pocketeye.data.mask_sets.samples import load_masks, split_layout
from pocketeye.data.sample import first_readable
from pocketeye.errors import InvalidValue, MissingFile
from tests.data.mask_layouts import (
    SIZE,
    big_labels,
    disc,
    photo,
    rle,
    write_coco,
    write_labels,
    write_sa1b,
)  # fmt: skip

SQUARE = [[10.0, 8.0, 30.0, 8.0, 30.0, 28.0, 10.0, 28.0]]
DISC = disc((60, 30), 12)


def test_coco_reads_polygons_and_both_kinds_of_run_lengths(tmp_path: Path) -> None:
    root = write_coco(
        tmp_path,
        [
            {"image_id": 1, "segmentation": SQUARE},
            {"image_id": 1, "segmentation": rle(DISC)},
            {"image_id": 2, "segmentation": rle(DISC, compressed=False)},
            {"image_id": 2, "segmentation": rle(DISC), "iscrowd": 1},
        ],
    )
    found = load_masks(root)
    assert (found.layout, len(found), found.problems) == ("coco", 2, ())  # the third has no object
    image, first = found.read(0).image, found.read(0).targets
    second = found.read(1).targets
    assert [shape().sum() for shape in first.shapes] == [400, DISC.sum()]
    square = np.zeros(SIZE[::-1], bool)
    square[8:28, 10:30] = True
    assert (first.shapes[0]() == square).all()
    assert len(second.shapes) == 1
    assert (second.shapes[0]() == DISC).all()
    assert np.asarray(image).shape == (64, 96, 3)
    assert np.abs(np.asarray(image).astype(int) - np.asarray(photo(1)).astype(int)).mean() < 8
    again = pickle.loads(pickle.dumps(found))  # loader processes get it so
    assert (again.read(1).targets.shapes[0]() == DISC).all()


def test_coco_names_what_it_leaves_out(tmp_path: Path) -> None:
    root = write_coco(
        tmp_path,
        [
            {"image_id": 1, "segmentation": SQUARE},
            {"image_id": 9, "segmentation": SQUARE},
            {"image_id": 1, "segmentation": []},
            {"image_id": 1, "segmentation": [[1.0, 2.0, 3.0, 4.0]]},
            {"image_id": 1, "segmentation": {"counts": "x"}},
            {"image_id": 2, "segmentation": SQUARE},
            {"image_id": 3, "segmentation": SQUARE},
            {"image_id": 4, "segmentation": SQUARE},
            {"image_id": 1, "segmentation": {"size": [64, 96], "counts": [9, 9]}},
        ],
        images=4,
    )
    (root / "train2017" / "002.jpg").unlink()
    photo(3, (40, 40)).save(root / "train2017" / "003.jpg")
    (root / "train2017" / "004.jpg").write_bytes(b"")
    found = load_masks(root)
    assert len(found) == 1
    assert found.problems == (
        "annotation 101: of no image in the file",
        "annotation 102: no polygon",
        "annotation 103: a polygon of fewer than three points",
        "annotation 104: run lengths without size and counts",
        "annotation 108: run lengths of 18 pixels for an image of 96x64",
        "002.jpg: missing image",
        "003.jpg: an image of 40x40, but the json says 96x64",
        "004.jpg: empty file",
    )


def test_coco_wants_one_json(tmp_path: Path) -> None:
    root = write_coco(tmp_path, [{"image_id": 1, "segmentation": SQUARE}])
    with pytest.raises(MissingFile, match="no json of the split 'val'; there is instances_train"):
        load_masks(root, "val")
    (root / "annotations" / "instances_val2017.json").write_text("{}")
    with pytest.raises(InvalidValue, match=r"several jsons .* name the split"):
        load_masks(root)
    assert len(load_masks(root, "train")) == 1
    with pytest.raises(InvalidValue, match="not COCO's"):
        load_masks(root, "val")
    assert len(load_masks(root / "annotations" / "instances_train2017.json")) == 1


def test_sa1b_reads_a_json_beside_each_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = disc((20, 20), 9)
    write_sa1b(tmp_path / "0001", {"sa_1": [DISC, other], "sa_2": [DISC], "sa_3": [DISC]})
    write_sa1b(tmp_path, {"sa_4": [other]})
    (tmp_path / "0001" / "sa_2.json").unlink()
    (tmp_path / "0001" / "sa_3.jpg").unlink()
    found = load_masks(tmp_path)
    assert (found.layout, len(found)) == ("sa-1b", 2)
    assert found.problems == ("0001/sa_2.jpg: no json beside it", "0001/sa_3.json: missing image")
    assert [(shape() == mask).all() for shape, mask in
            zip(found.read(0).targets.shapes, (DISC, other), strict=True)] == [True, True]  # fmt: skip
    (tmp_path / "0001" / "sa_1.json").write_text('{"annotations": [{"segmentation": [1]}]}')
    with caplog.at_level(logging.WARNING):
        assert first_readable(found, 0).index == 1
    assert "sa_1.jpg: its json has an annotation without run lengths" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"counts": "ooo"}, "damaged run lengths"),
        ({"counts": "@@@"}, "run lengths of -48 pixels for an image of 96x64"),
        ({"counts": [5, 5]}, "run lengths of 10 pixels"),
        ({"size": [32, 48]}, "a mask of 48x32 for an image of 96x64"),
    ],
)
def test_wrong_run_lengths_are_unreadable(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    write_sa1b(tmp_path, {"sa_1": [DISC]})
    row = {"segmentation": {**rle(DISC), **change}}
    (tmp_path / "sa_1.json").write_text(json.dumps({"annotations": [row]}))
    with pytest.raises(UnreadableImage, match=said):
        load_masks(tmp_path).read(0)


def test_labels_give_the_whole_and_its_parts(tmp_path: Path) -> None:
    labels = np.zeros((64, 96), int)
    labels[10:30, 10:30] = 5
    labels[10:30, 30:40] = 8
    labels[40:60, 50:80] = 5  # apart from the first: a part of its own
    labels[0, 0] = 9  # too small to click on
    found = load_masks(write_labels(tmp_path, {"a": labels}))
    image = found.read(0).targets
    assert found.layout == "parts"
    assert image.whole == (True, False, False, False)
    assert [int(shape().sum()) for shape in image.shapes] == [1201, 400, 600, 200]
    assert (image.shapes[0]() == (labels > 0)).all()


def test_labels_that_are_objects_are_things_of_their_own(tmp_path: Path) -> None:
    labels = np.zeros((64, 96), int)
    labels[10:30, 10:30] = 2
    labels[40:60, 50:80] = 2  # apart from the first, but of the same number
    labels[10:30, 30:40] = 7
    root = write_labels(tmp_path, {"a": labels})
    image = load_masks(root, layout="objects").read(0).targets
    assert image.whole == (True, True)
    assert [int(shape().sum()) for shape in image.shapes] == [1000, 200]


def test_an_entry_of_data_may_end_in_its_layout(tmp_path: Path) -> None:
    assert split_layout(f"{tmp_path}/photos:objects") == (f"{tmp_path}/photos", "objects")
    assert split_layout("photos") == ("photos", "auto")
    assert split_layout(r"C:\photos") == (r"C:\photos", "auto")
    (tmp_path / "a:parts").mkdir()
    assert split_layout(f"{tmp_path}/a:parts") == (f"{tmp_path}/a:parts", "auto")
    with pytest.raises(InvalidValue, match=r"unknown layout 'object'.*'objects'"):
        split_layout("photos:object")


def test_labels_name_what_does_not_fit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    maps = big_labels(3)
    root = write_labels(tmp_path, maps)
    photo(0).save(root / "images" / "x_only.jpg")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / "masks" / "y_only.png")
    photo(1).save(root / "images" / "small.jpg")
    Image.fromarray(np.ones((8, 8), np.uint8)).save(root / "masks" / "small.png")
    photo(2).save(root / "images" / "rgb.jpg")
    photo(2).save(root / "masks" / "rgb.png")
    palette = Image.fromarray(maps["00"].astype(np.uint8), "P")
    palette.putpalette([7] * 768)
    palette.save(root / "masks" / "00.png")  # numbers survive in a palette
    found = load_masks(root)
    assert found.problems == (
        "images/rgb.jpg: its mask has colours (RGB), not label numbers",
        "images/small.jpg: 96x64 pixels, but its mask has 8x8",
        "images/x_only.jpg: no mask of that name",
        "masks/y_only.png: missing image",
    )
    assert [int(s().sum()) for s in found.read(0).targets.shapes] == [
        int((maps["00"] > 0).sum()), int((maps["00"] == 3).sum()), int((maps["00"] == 7).sum()),
    ]  # fmt: skip
    Image.fromarray(np.zeros((160, 160), np.uint8)).save(root / "masks" / "01.png")
    (root / "masks" / "02.png").write_bytes((root / "masks" / "02.png").read_bytes()[:60])
    with caplog.at_level(logging.WARNING):
        assert first_readable(found, 1).index == 0
        assert first_readable(found, 1).index == 0
    assert caplog.text.count("images/01.jpg: no object in it") == 1
    assert found.problems[4] == "images/01.jpg: no object in it"
    assert "images/02.jpg: its mask cannot be read" in caplog.text
    Image.fromarray(np.zeros((160, 160), np.uint8)).save(root / "masks" / "00.png")
    with pytest.raises(InvalidValue, match=r"3 damaged images in a row, the last 'images/00.jpg'"):
        first_readable(found, 1)


def test_what_is_no_set_of_masks(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no data at"):
        load_masks(tmp_path / "nothing")
    with pytest.raises(InvalidValue, match="expected annotations/instances"):
        load_masks(tmp_path)
    with pytest.raises(InvalidValue, match=r"unknown layout 'cocoo'. Did you mean 'coco'"):
        load_masks(tmp_path, layout="cocoo")
    with pytest.raises(MissingFile, match="no folder 'train'; there is images, masks"):
        load_masks(write_labels(tmp_path / "l", big_labels(1)), "train")
    empty = write_coco(tmp_path / "c", [{"image_id": 1, "segmentation": []}])
    with pytest.raises(InvalidValue, match="no image with a usable mask; the first problem: annot"):
        load_masks(empty)


def test_polygons_agree_with_cocos_own_rasteriser(datasets: Path) -> None:
    from faster_coco_eval.core import mask as coco_mask

    content = json.loads(
        (datasets / "coco-mini" / "annotations" / "instances_val2017.json").read_bytes()
    )
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    compared = 0
    for row in content["annotations"]:
        if row["iscrowd"] or row["area"] < 400:
            continue
        width, height = sizes[row["image_id"]]
        theirs = coco_mask.decode(
            coco_mask.merge(coco_mask.frPyObjects(row["segmentation"], height, width))
        ).astype(bool)
        ours = polygon_mask(row["segmentation"], (width, height))
        rim = np.count_nonzero(theirs ^ ours) / np.sqrt(np.count_nonzero(theirs))
        assert rim < 2.0, row["id"]  # pixels that differ, as a share of the side
        compared += 1
    assert compared > 100
