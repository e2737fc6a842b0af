"""Read YOLO's text files, a line an object, and the yaml that says where they are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from pocketeye import progress
from pocketeye.data.detection.objects import ObjectGathering, Objects
from pocketeye.data.detection.yolo_texts import LabelTexts
from pocketeye.data.detection.yolo_yaml import Content, read_yolo_yaml, split_images, yaml_of
from pocketeye.data.files import UnreadableImage, files_in, no_comments, read_text, upright_size
from pocketeye.data.files.annotations.shapes import outline_box
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.reading import is_file

_MOST_SHARE = 2.0
"""A number beyond is no share of the image, but pixels; boxes may reach out of it a little."""


def read_yolo_boxes(root: Path, split: str | None, masks: bool) -> tuple[tuple[str, ...], Objects]:
    """Read the names of the classes and what is in the images.

    A line is ``class cx cy width height`` or ``class x y x y x y …``, shares of the image. An image
    whose text file is empty or missing has no objects.

    Raises:
        MissingFile: no yaml, split or folder.
        InvalidValue: a yaml without names or that cannot be read; or no image has a text file where it
            belongs, and the texts lie somewhere else.
    """
    file = yaml_of(root)
    if file is None:
        raise MissingFile(f"{root} has no data.yaml with names, train and val")
    content = read_yolo_yaml(file)
    gathering = ObjectGathering(file.parent, masks)
    images = split_images(content, split, gathering.problems)
    texts = LabelTexts()
    # Without any text every image would be empty, and training would learn nothing from that.
    found = {image: texts.of(image) for image in images}
    if images and not any(found.values()):
        _refuse_misplaced(content, images, texts)
    with progress.task(f"looking at {root}", len(images)) as bar, no_comments():
        for image in images:
            _add(gathering, image, found[image], len(content.names))
            bar.advance(1)
    _without_image(gathering, found)
    return content.names, gathering.done()


def _refuse_misplaced(content: Content, images: list[Path], texts: LabelTexts) -> None:
    """Raise InvalidValue where texts of these images lie in the set, but not where they belong."""
    stems = {image.stem for image in images}
    lost = [text for text in content.texts() if text.stem in stems]
    if lost:
        first = images[0]
        base = content.file.parent
        raise InvalidValue(
            f"{content.file}: not one of {len(images)} images has its labels where they belong "
            f"({_relative(first, base)} in {_relative(texts.expected(first), base)}), but "
            f"{len(lost)} lie in {_relative(lost[0].parent, base)}: move or rename that folder"
        )


def _without_image(gathering: ObjectGathering, found: dict[Path, Path | None]) -> None:
    """Name the texts in the folders used that belong to no image."""
    known = {text for text in found.values() if text is not None}
    image_folders = {image.parent for image in found}
    # Texts beside their images are the usual case of a flat folder: other texts lie there too.
    for folder in sorted({text.parent for text in known} - image_folders - {gathering.root}):
        for text in files_in(folder, ".txt"):
            if text not in known:
                gathering.problems.add(text.name, "missing image")


def _add(gathering: ObjectGathering, image: Path, text: Path | None, num_classes: int) -> None:
    name = _relative(image, gathering.root)
    if not is_file(image):
        gathering.problems.add(name, "missing image: left out")
        return
    try:
        size = upright_size(image)
    except UnreadableImage as error:
        gathering.problems.add(name, f"{error}: left out")
        return
    for number, line in enumerate(_lines(gathering, text), 1):
        # Empty lines are no objects, and no mistake.
        if text is None or not line.strip():
            continue
        label, outline, box, wrong = _parse(line.split(), size, num_classes)
        where = f"{text.name}, line {number}"
        if wrong is not None:
            gathering.offered += 1
            gathering.problems.add(where, f"{wrong}: left out")
        else:
            gathering.add(where, box, size, label, outline=outline)
    gathering.image(name, image.name, size)


def _lines(gathering: ObjectGathering, text: Path | None) -> list[str]:
    try:
        return [] if text is None else read_text(text).splitlines()
    except OSError as error:
        name = "" if text is None else text.name
        gathering.problems.add(name, f"cannot be read ({error.strerror}): no objects")
        return []


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


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
    # Some programs write 0.0 for class 0.
    if not label.is_integer() or not 0 <= label < num_classes:
        return 0, None, none, f"of the unknown class {words[0]}"
    if not all(math.isfinite(v) and abs(v) <= _MOST_SHARE for v in shares):
        return 0, None, none, "not shares of the image (0 to 1)"
    # Four shares are a box, six or more a polygon.
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
