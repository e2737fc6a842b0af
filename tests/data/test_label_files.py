"""Labels of still images leave in the layouts of annotation tools, and come back the same."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketeye.data.detection.samples import load_detection
from pocketeye.data.files import Problems
from pocketeye.data.labelled.brush import read_brush, write_brush
from pocketeye.data.labelled.label_studio import brush_value
from pocketeye.data.labelled.layouts import read_labels
from pocketeye.data.labelled.objects import LabelledFrame, LabelledObject, frame_of
from pocketeye.data.labelled.writing.image_names import copied_names, image_names
from pocketeye.data.labelled.writing.label_files import FORMS, LabelFiles, label_form, require_free
from pocketeye.errors import InvalidValue
from pocketeye.results import CompactMask, LabelMap, Masks, Result

NAMES = ['a<b>&"c"\u00e4', "percent %20 sign", "new\nline", "[0, 1]", "yes", "\u732b", "colon: x"]


def result(size: tuple[int, int], seed: int, *, masks: bool = True, count: int = 2) -> Result:
    """Rectangles with a corner missing, which do not overlap."""
    width, height = size
    rng = np.random.default_rng(seed)
    dense = np.zeros((count, height, width), bool)
    for number in range(count):
        x0, x1 = sorted(rng.choice(width + 1, 2, replace=False).tolist())
        top, bottom = number * height // count, max((number + 1) * height // count, 1)
        dense[number, top:bottom, x0:x1] = True
        if bottom - top > 3 and x1 - x0 > 3:
            dense[number, top, x0] = False
    items = Masks.from_dense(dense)
    labels = [NAMES[(seed + n) % len(NAMES)] for n in range(count)]
    return Result(
        size=size, masks=items if masks else None, boxes=items.boxes, labels=labels,
        scores=rng.random(count), image=rng.integers(0, 255, (height, width, 3), np.uint8),
    )  # fmt: skip


def box_of(each: LabelledObject) -> np.ndarray:
    return np.array(each.bounds(), float)


def write(target: Path, form: str, folder: Path, results: dict[str, Result], **more: Any) -> Any:
    """Write images, and what was found in them."""
    paths = []
    for name, each in results.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(each.pixels()).save(path, format="png")
        paths.append(path)
    labels = LabelFiles(target, form, paths, **more)
    with labels.writing():
        for place, each in enumerate(results.values()):
            labels.add_result(place, each, paths[place].read_bytes(), each.pixels())
        labels.finish()
    return labels


SIZES = [(1, 1), (2, 9), (40, 30), (33, 257)]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("masks", [True, False], ids=["masks", "boxes"])
def test_what_is_written_is_read_again(tmp_path: Path, form: str, masks: bool) -> None:
    results = {
        f"{'ab'[n % 2]}/{n}.png": result(size, n, masks=masks, count=min(2, size[1]))
        for n, size in enumerate(SIZES)
    }
    labels = write(tmp_path / "set", form, tmp_path / "photos", results)
    frames = {}
    for size in SIZES:
        files = sorted((tmp_path / "set").rglob("*"))
        pages = [
            f for f in files if f.suffix in (".json", ".xml") or f.parent.parent.name == "labels"
        ]
        for page in pages:
            # Shares of an image say nothing of its size.
            if page.suffix == ".txt" and SIZES[int(page.stem)] != size:
                continue
            for frame in read_labels(page, size, Problems()):
                place = "/".join(page.with_suffix("").parts[-2:])
                key = frame.name if len(pages) == 1 else place
                if frame.size == size or frame.size is None:
                    frames[key.removeprefix("images/").removesuffix(".png")] = frame
    assert sorted(frames) == ["a/0", "a/2", "b/1", "b/3"]
    for name, each in results.items():
        wanted = frame_of(each)
        got = frames[name.removesuffix(".png")]
        if not wanted.objects:
            continue
        classes = [" ".join(o.label.split()) if form == "voc" else o.label for o in wanted.objects]
        if not form.startswith("yolo"):
            assert [o.label for o in got.objects] == classes
        for mine, theirs in zip(wanted.objects, got.objects, strict=True):
            # Six digits of shares, and two of pixels.
            np.testing.assert_allclose(box_of(theirs), box_of(mine), atol=0.006)
            if masks and form in ("coco", "cvat"):
                assert theirs.filled(each.size) == mine.mask
            elif masks and form not in ("voc", "yolo-detect"):
                filled = theirs.filled(each.size)
                assert filled is not None
                assert mine.mask is not None
                assert filled.iou(mine.mask) >= 0.97
            if form in ("coco", "labelme", "label-studio"):
                assert theirs.score == pytest.approx(mine.score, abs=1e-5)
    said = " ".join(labels.notes)
    assert ("scores" in said) == (form in ("cvat", "voc", "yolo-detect", "yolo-segment"))
    assert ("masks are left out" in said) == (masks and form == "yolo-detect")
    assert ("outlined" in said) == (masks and form in ("labelme", "label-studio", "yolo-segment"))


@pytest.mark.parametrize("form", ["coco", "voc", "yolo-detect", "yolo-segment"])
def test_what_is_written_is_a_set_to_train_on(tmp_path: Path, form: str) -> None:
    results = {f"{n}.png": result((40, 30), n) for n in range(3)}
    results["none.png"] = result((20, 10), 0, count=0)
    kinds = {name: 10 + n for n, name in enumerate(NAMES)}
    # Names of classes in lists of lines have no line breaks.
    usable = {k.replace("\n", " "): v for k, v in kinds.items()}
    write(tmp_path / "set", form, tmp_path / "photos", results, categories=usable)
    loaded = load_detection(tmp_path / "set")
    assert len(loaded) == 4
    assert loaded.num_negatives == 1
    for index in range(4):
        wanted = frame_of(results[Path(loaded.name(index)).name])
        sample = loaded.read(index)
        boxes = np.array([box_of(each) for each in wanted.objects]).reshape(-1, 4)
        np.testing.assert_allclose(sample.targets.boxes, boxes, atol=0.01)
        assert np.asarray(sample.image).shape[:2] == wanted.size[::-1]  # type: ignore[index]
    if form == "coco":
        assert loaded.category_ids[: len(NAMES)] == tuple(range(10, 10 + len(NAMES)))


def test_nothing_found_is_written_too(tmp_path: Path) -> None:
    for form in FORMS:
        empty = {"a.png": result((8, 6), 0, count=0)}
        labels = write(tmp_path / form, form, tmp_path / "photos", empty)
        assert labels.notes == ()
        assert any((tmp_path / form).rglob("a.*")) or form in ("coco", "cvat", "label-studio")


def test_a_file_names_images_as_seen_from_their_folder(tmp_path: Path) -> None:
    names = {"a/1.png": 0, "b/1.png": 1, 'b/\u00e4 "<&>.png': 2, "b/bad\x07.png": 3}
    results = {name: result((9, 9), seed) for name, seed in names.items()}
    labels = write(tmp_path / "out.xml", "cvat", tmp_path / "photos", results)
    frames = list(read_labels(tmp_path / "out.xml", None, Problems()))
    assert [f.name for f in frames] == ["a/1.png", "b/1.png", 'b/\u00e4 "<&>.png', "b/bad?.png"]
    assert any("1 name of images" in note for note in labels.notes)
    write(tmp_path / "out.json", "coco", tmp_path / "photos", results)
    said = json.loads((tmp_path / "out.json").read_text())
    assert [row["file_name"] for row in said["images"]] == list(names)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="names of files are bytes on POSIX only")
def test_names_that_are_no_text(tmp_path: Path) -> None:
    odd = os.fsdecode(b"odd\xff.png")
    for form in FORMS:
        write(tmp_path / form, form, tmp_path / "photos", {odd: result((9, 9), 1)})
        for path in (tmp_path / form).rglob("*"):
            path.name.encode("utf-8")  # copies have names of letters
    for suffix, form in ((".xml", "cvat"), (".json", "coco")):
        target = tmp_path / f"x{suffix}"
        write(target, form, tmp_path / "photos", {odd: result((9, 9), 1)})
        target.read_text("utf-8")


def test_names_are_told_apart() -> None:
    paths = [Path("x/a/1.png"), Path("x/b/1.png"), Path("x/b/1.jpg"), Path("x/b/1.PNG")]
    assert image_names(paths) == ["a/1.png", "b/1.png", "b/1.jpg", "b/1.PNG"]
    assert copied_names(paths) == ["a/1.png", "b/1.png", "b/1-2.jpg", "b/1-3.PNG"]
    others = ["http://host/dir/p%20q.jpg?x=1", "standard input", "image 3", "standard input"]
    assert image_names(others) == ["p q.jpg", "standard input", "image 3", "standard input-2"]
    assert copied_names(["..", "http://host/", "a/../../b.png"]) == [
        "_..",
        "image",
        "a/_../_../b.png",
    ]
    assert copied_names([Path("photos/.hidden.jpg")]) == ["_.hidden.jpg"]


def test_turned_images_are_copied_upright(tmp_path: Path) -> None:
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels).save(path, exif=exif)
    labels = LabelFiles(tmp_path / "set", "yolo-detect", [path])
    upright = np.zeros((8, 4, 3), np.uint8)
    found = Result(size=(4, 8), boxes=np.array([[0, 0, 2, 4]]), labels=["x"], image=upright)
    with labels.writing():
        labels.add_result(0, found, path.read_bytes(), upright)
        labels.finish()
    with Image.open(tmp_path / "set/images/turned.png") as copy:
        assert copy.size == (4, 8)
    assert (
        tmp_path / "set/labels/turned.txt"
    ).read_text() == "0 0.250000 0.250000 0.500000 0.500000\n"


def test_classes_of_whole_images(tmp_path: Path) -> None:
    for form in ("cvat", "label-studio", "labelme"):
        target = tmp_path / form
        labels = LabelFiles(target, form, [Path("a.png")])
        frame = LabelledFrame(frame=0, size=(8, 6), tags=('cat "x"',))
        with labels.writing():
            labels.add(0, frame, b"", np.zeros((6, 8, 3), np.uint8))
            labels.finish()
        page = next(f for f in target.rglob("*") if f.suffix in (".json", ".xml"))
        (again,) = read_labels(page, None, Problems())
        assert again.tags == ('cat "x"',)
        assert again.objects == ()


def test_labels_of_pixels_in_voc(tmp_path: Path) -> None:
    labels_of = np.array([[0, 0, 2], [2, 2, 2]])
    image = np.zeros((2, 3, 3), np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(image).save(path)
    files = LabelFiles(tmp_path / "set", "voc", [path], {"sky": 1, "road": 2, "car": 3})
    found = LabelMap(labels=labels_of, classes=("sky", "road", "car"), image=image).result()
    with files.writing():
        files.add_result(0, found, path.read_bytes(), image, of_classes=True)
        files.finish()
    written = np.asarray(Image.open(tmp_path / "set/SegmentationClass/a.png"))
    assert written.tolist() == (labels_of + 1).tolist()
    assert (tmp_path / "set/classes.txt").read_text() == "sky\nroad\ncar\n"
    assert files.notes == ()


def test_what_overlaps_is_said(tmp_path: Path) -> None:
    masks = np.zeros((2, 4, 4), bool)
    masks[0, :2], masks[1, 1:3] = True, True
    found = Result(size=(4, 4), masks=Masks.from_dense(masks), image=np.zeros((4, 4, 3), np.uint8))
    labels = write(tmp_path / "set", "voc", tmp_path / "p", {"a.png": found})
    assert [note for note in labels.notes if "(4)" in note]


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (7, 3), (64, 65), (300, 260)])
def test_brushes(size: tuple[int, int], density: float) -> None:
    rng = np.random.default_rng(size[0])
    mask = CompactMask.from_dense(rng.random(size[::-1]) < density)
    numbers = write_brush(mask)
    assert all(0 <= number < 256 for number in numbers)
    assert read_brush(numbers, size) == mask
    each = LabelledObject(object_id=1, mask=mask)
    assert brush_value(each, size) == {"format": "rle", "rle": numbers}


@pytest.mark.parametrize(
    ("out", "form", "word"),
    [
        ("a.xml", "coco", "--form coco is written to a folder or a .json file"),
        ("a.json", "yolo-detect", "written to a folder, and --out is a.json"),
        ("a.png", "voc", "no image"),
        ("a", "yolo", "Did you mean 'yolo-"),
    ],
)
def test_forms_that_do_not_fit(out: str, form: str, word: str) -> None:
    with pytest.raises(InvalidValue, match=word):
        label_form(Path(out), form)


def test_forms_and_places(tmp_path: Path) -> None:
    assert label_form(Path("a.json"), None) == "coco"
    assert label_form(Path("a.XML"), None) == "cvat"
    assert label_form(Path("run.v2"), None) is None
    with pytest.raises(InvalidValue, match="no classes of whole images"):
        label_form(Path("a.json"), None, tags=True)
    (tmp_path / "set").mkdir()
    require_free(tmp_path / "set", overwrite=False)
    (tmp_path / "set/x").touch()
    with pytest.raises(InvalidValue, match="--overwrite"):
        require_free(tmp_path / "set", overwrite=False)
    require_free(tmp_path / "set", overwrite=True)
