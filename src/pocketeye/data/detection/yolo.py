"""YOLO's text files, a line an object, and the yaml that says where they are."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye import progress
from pocketeye.data.detection.objects import ObjectGathering, Objects
from pocketeye.data.files.decode import SUFFIXES, UnreadableImage, no_comments, upright_size
from pocketeye.data.files.listing import some
from pocketeye.data.files.shapes import outline_box
from pocketeye.data.files.sources import walk
from pocketeye.data.files.splits import spellings, splits_among
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.reading import read_yaml

_MOST_SHARE = 2.0
"""A number beyond is no share of the image, but pixels; boxes may reach out of it a little."""


def yaml_of(root: Path) -> Path | None:
    """Return the yaml of a set with ``names`` and splits; None where there is none."""
    if root.is_file():
        return root
    files = [root / "data.yaml", root / "dataset.yaml", *sorted(root.glob("*.yaml"))]
    return next((file for file in files if file.is_file() and _is_ours(file)), None)


def _is_ours(file: Path) -> bool:
    try:
        content = read_yaml(file)
    except InvalidValue:
        return file.name == "data.yaml"  # meant to be one: say what is wrong when it is read
    return isinstance(content, dict) and "names" in content and bool(_splits(content))


def _splits(content: dict[Any, Any]) -> tuple[str, ...]:
    return splits_among({key for key, value in content.items() if value})


def yolo_splits(root: Path) -> tuple[str, ...]:
    """Return the splits that the yaml names."""
    file = yaml_of(root)
    content = read_yaml(file) if file else {}
    return _splits(content) if isinstance(content, dict) else ()


def read_yolo_boxes(root: Path, split: str | None, masks: bool) -> tuple[tuple[str, ...], Objects]:
    """Read the names of the classes and what is in the images.

    A line is ``class cx cy width height`` or ``class x y x y x y …``, shares of the image. An image
    whose text file is empty or missing has no objects.

    Raises:
        MissingFile: no yaml, split or folder.
        InvalidValue: a yaml without names or that cannot be read.
    """
    file = yaml_of(root)
    if file is None:
        raise MissingFile(f"{root} has no data.yaml with names, train and val")
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise InvalidValue(f"{file} is no yaml of a YOLO set: expected names, train and val")
    classes = _names(file, content.get("names"))
    images = _images(file, content, split)
    base = file.parent
    gathering = ObjectGathering(base, masks)
    with progress.task(f"looking at {root}", len(images)) as bar, no_comments():
        for image in images:
            _add(gathering, image, len(classes))
            bar.advance(1)
    _without_image(gathering, images)
    return classes, gathering.done()


def _names(file: Path, names: Any) -> tuple[str, ...]:
    """Read names from a list, or a mapping of 0, 1, 2 … to names."""
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        raise InvalidValue(f"{file}: names must be a list, or numbers from 0 up with a name each")
    return tuple(map(str, names))


def _images(file: Path, content: dict[str, Any], split: str | None) -> list[Path]:
    """Return the images of a split, or of all, sorted."""
    there = _splits(content)
    wanted = there if split is None else [n for n in spellings(split) if content.get(n)][:1]
    if not wanted:
        raise MissingFile(f"{file} has no split {split!r}; there is {some(there) or 'none'}")
    base = file.parent / str(content.get("path") or "")
    if not base.is_dir():  # as in a yaml that was written on another machine
        base = file.parent
    images: list[Path] = []
    for name in wanted:
        given = content[name]
        for entry in given if isinstance(given, list) else [given]:
            images += _entry(file, base, str(entry))
    return sorted(set(images))


def _entry(file: Path, base: Path, entry: str) -> list[Path]:
    """List the images of a folder, or of a list of them."""
    # Roboflow writes ../train/images for what lies beside its yaml
    for place in (base / entry, file.parent / entry, file.parent / entry.removeprefix("../")):
        if place.is_dir():
            return [
                place / name for name, _ in walk(place) if Path(name).suffix.lower() in SUFFIXES
            ]
        if place.is_file():
            lines = place.read_text(encoding="utf-8", errors="replace").split("\n")
            return [place.parent / line.strip() for line in lines if line.strip()]
    raise MissingFile(f"{file} names {entry}, which is not there (looked in {base})")


def text_of(image: Path) -> Path:
    """Return the file of an image's boxes.

    ``…/images/a/1.jpg`` has it in ``…/labels/a/1.txt``, any other image beside it.
    """
    parts = list(image.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _without_image(gathering: ObjectGathering, images: list[Path]) -> None:
    """Name the texts in the folders used that belong to no image."""
    known = {text_of(image) for image in images}
    folders = {text.parent for text in known if text.parent.name != gathering.root.name}
    for folder in sorted(folders):
        beside = any(image.parent == folder for image in images)
        for text in sorted(folder.glob("*.txt")) if folder.is_dir() and not beside else ():
            if text not in known:
                gathering.problems.add(text.name, "missing image")


def _add(gathering: ObjectGathering, image: Path, num_classes: int) -> None:
    name = _relative(image, gathering.root)
    if not image.is_file():
        gathering.problems.add(name, "missing image: left out")
        return
    try:
        size = upright_size(image)
    except UnreadableImage as error:
        gathering.problems.add(name, f"{error}: left out")
        return
    text = text_of(image)
    lines = text.read_text("utf-8", "replace").splitlines() if text.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        label, outline, box, wrong = _parse(line.split(), size, num_classes)
        where = f"{text.name}, line {number}"
        if wrong is not None:
            gathering.offered += 1
            gathering.problems.add(where, f"{wrong}: left out")
        else:
            gathering.add(where, box, size, label, outline=outline)
    gathering.image(name, image.name, size)


def _relative(image: Path, root: Path) -> str:
    return str(image.relative_to(root)) if image.is_relative_to(root) else str(image)


def _parse(
    words: list[str], size: tuple[int, int], num_classes: int
) -> tuple[int, list[list[float]] | None, tuple[float, float, float, float], str | None]:
    """Return the class, outline and box of a line, and what is wrong with it."""
    none = (0.0, 0.0, 0.0, 0.0)
    try:
        values = [float(word) for word in words]
    except ValueError:
        return 0, None, none, "something else than numbers"
    label, shares = values[0], values[1:]
    if not label.is_integer() or not 0 <= label < num_classes:
        return 0, None, none, f"of the unknown class {words[0]}"
    if not all(math.isfinite(v) and abs(v) <= _MOST_SHARE for v in shares):
        return 0, None, none, "not shares of the image (0 to 1)"
    if len(shares) == 4:
        cx, cy, w, h = shares
        corners = np.array([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]) * (*size, *size)
        x0, y0, x1, y1 = corners.tolist()
        return int(label), None, (x0, y0, x1, y1), None
    if len(shares) < 6 or len(shares) % 2:
        return 0, None, none, f"{len(shares)} numbers, neither a box (4) nor a polygon (6, 8 …)"
    # Hundredths of a pixel are exact enough, and short as text.
    points = (np.clip(shares, 0, 1).reshape(-1, 2) * size).round(2)
    outline = [points.ravel().tolist()]
    return int(label), outline, outline_box(outline, size), None
