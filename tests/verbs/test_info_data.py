"""``pocketeye info`` of a data set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.cards.data import DataInfo
from pocketeye.cli import main
from pocketeye.data.describing.description import SplitDescription, describe
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.results.colors import color_of
from pocketeye.verbs.info import info
from tests.data.box_layouts import voc_xml, write_voc, write_yolo
from tests.data.mask_layouts import photo, write_coco, write_labels


def described(path: Path, **options: object) -> DataInfo:
    result = info(str(path), **options)  # type: ignore[arg-type]
    assert isinstance(result, DataInfo)
    return result


def test_boxes(tmp_path: Path) -> None:
    pages = {
        "a": voc_xml([("dog", (1, 1, 60, 40)), ("cat", (11, 9, 30, 28)), ("cat", (5, 5, 5, 5))]),
        "b": voc_xml([]),
        "c": voc_xml([("dog", (5, 5, 9, 9))]),
    }
    root = write_voc(tmp_path / "pets", pages, {"train": ["a", "b"], "val": ["c"]})
    result = described(root)
    train, val = result.data.splits
    assert train == SplitDescription(
        name="train", images=2, negatives=1, objects=2, counts={"cat": 1, "dog": 1},
        sizes=((96, 64), (96, 64), (96, 64)), box_sizes=(1, 1, 0),
        problems=("a.xml, object 3 (cat): a box without area: left out",),
    )  # fmt: skip
    assert (val.name, val.counts) == ("val", {"cat": 0, "dog": 1})
    text = "\n".join(result.lines())
    assert "2 images; 1 of them without objects (kept as negatives); 96x64" in text
    assert "1 problem in the data[/yellow] (train):\n  a.xml, object 3 (cat)" in text
    alike = tuple(replace(split, problems=train.problems) for split in (train, val))
    both = replace(result, data=replace(result.data, splits=alike))
    said = [line for line in both.lines() if "in the data" in line]
    assert len(said) == 1  # what is wrong everywhere is said once
    assert said[0].endswith("(train, val):")
    assert [split["name"] for split in json.loads(json.dumps(result.to_dict()))["splits"]] == [
        "train", "val",
    ]  # fmt: skip
    assert [split.name for split in described(root, split="valid").data.splits] == ["val"]
    with pytest.raises(MissingFile, match="no split 'test'; there is train, val"):
        info(str(root), split="test")


def test_samples_are_drawn(tmp_path: Path) -> None:
    square = [[10.0, 8.0, 80.0, 8.0, 80.0, 56.0, 10.0, 56.0]]
    rows = [{"image_id": 1, "category_id": 7, "bbox": [10, 8, 70, 48], "segmentation": square}]
    root = write_coco(tmp_path / "set", rows, 2, categories=({"id": 7, "name": "box"},))
    file = root / "train2017" / "002.jpg"
    file.write_bytes(file.read_bytes()[:-400])
    out = tmp_path / "new" / "samples.png"
    result = described(root, out=out)
    assert result.written() == [out]
    assert result.data.kind == "boxes and outlines"
    with Image.open(out) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    shade = (pixels == color_of(1)).all(-1)
    assert shade[:280, :408].sum() > 700  # the outline round the object
    assert shade[280:].sum() > 100  # its legend
    assert (pixels[60:200, 500:800] == 0xDD).all(-1).mean() > 0.9  # an image that cannot be read
    with pytest.raises(InvalidValue, match=r"exists already: replace it with --overwrite"):
        info(str(root), out=out)
    assert described(root, out=out, overwrite=True).image == out
    with pytest.raises(InvalidValue, match=r"--out FILE.png, not"):
        info(str(root), out=tmp_path / "folder")


def test_labels_without_names(tmp_path: Path) -> None:
    labels = np.zeros((8, 12), int)
    labels[:2], labels[2:4] = 255, 4
    root = write_labels(tmp_path, {"a": labels})
    result = described(root, out=tmp_path / "s.png")
    assert result.data.splits[0].counts == {"0": 50.0, "4": 25.0, "(ignored)": 25.0}
    assert "no classes.yaml" in result.data.notes[0]
    assert result.data.layout == "folders"
    (root / "classes.yaml").write_text("names: [sky, road]\nignore: 255\n")
    result = described(root)
    assert result.data.classes == ("sky", "road")
    assert result.data.splits[0].problems == (
        "images/a.jpg: value 4 in its mask has no class, such pixels are ignored",
    )
    assert "  images/a.jpg: value 4 in its mask has no class" in "\n".join(result.lines())


def test_yolo_images_and_videos(tmp_path: Path) -> None:
    yolo = write_yolo(tmp_path / "yolo", {"a": "0 0.5 0.5 0.2 0.2"}, ("cat [x]",))
    assert described(yolo).data.layout == "yolo"
    assert described(yolo / "data.yaml").data.splits[0].counts == {"cat [x]": 1}
    for split, name in (("train", "cat"), ("train", "dog"), ("val", "dog")):
        folder = tmp_path / "pets" / split / name
        folder.mkdir(parents=True)
        photo(1).save(folder / "a.jpg")
    pets = described(tmp_path / "pets")
    assert [split.counts for split in pets.data.splits] == [
        {"cat": 1, "dog": 1},
        {"cat": 0, "dog": 1},
    ]
    with pytest.raises(InvalidValue, match="samples are drawn of boxes"):
        info(str(tmp_path / "pets"), out=tmp_path / "a.png")
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / "videos" / folder / "480p" / "walk").mkdir(parents=True)
    for number in range(2):
        photo(number).save(tmp_path / f"videos/JPEGImages/480p/walk/0000{number}.jpg")
        mask = Image.fromarray(np.eye(64, 96, dtype=np.uint8))
        mask.save(tmp_path / f"videos/Annotations/480p/walk/0000{number}.png")
    walk = described(tmp_path / "videos", out=tmp_path / "walk.png")
    assert "1 videos; 2 frames; 96x64" in "\n".join(walk.lines())
    sheet = Image.open(tmp_path / "walk.png").convert("RGB")
    colours = {colour for _, colour in sheet.getcolors(1 << 20) or ()}
    assert len(colours) > 100, "the first annotated frame is drawn"


def test_what_is_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert describe(tmp_path) is None
    with pytest.raises(InvalidValue, match="is no data set that is known"):
        info("fbnet_c", split="train")
    (tmp_path / "data.yaml").write_text("names: [cat\n")
    assert main(["info", str(tmp_path)]) == 2
    assert "cannot be read as yaml" in capsys.readouterr().err


def test_real_sets(datasets: Path) -> None:
    coco = described(datasets / "coco-mini").data
    assert [(s.name, s.images, s.negatives, s.objects, s.crowds) for s in coco.splits] == [
        ("train2017", 178, 3, 1399, 5), ("val2017", 50, 2, 382, 5),
    ]  # fmt: skip
