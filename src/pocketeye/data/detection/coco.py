"""Boxes and outlines of COCO's json."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from pocketeye import progress
from pocketeye.data.detection.objects import ObjectGathering, Objects
from pocketeye.data.files.coco_json import (
    image_flaw,
    image_folder,
    json_of,
    read_coco,
    said_size,
)
from pocketeye.data.files.decode import no_comments, upright_size
from pocketeye.data.files.shapes import flaw, outline_box
from pocketeye.errors import InvalidValue

Rows = dict[Any, list[dict[str, Any]]]


def read_coco_boxes(
    root: Path, split: str | None, masks: bool
) -> tuple[tuple[str, ...], tuple[int, ...], Objects]:
    """Read the classes' names, COCO's ids of them (ascending), and what is in the images.

    Raises:
        MissingFile: no json of that split.
        InvalidValue: several, not COCO's, or categories that do not tell the classes.
    """
    file = root if root.is_file() else json_of(root, split)
    content = read_coco(file)
    names = _categories(file, content.get("categories"))
    labels = {category: label for label, category in enumerate(names)}
    images = content["images"]
    gathering = ObjectGathering(image_folder(file, images), masks)
    rows = _by_image(content, labels, gathering)
    with progress.task(f"looking at {root}", len(images)) as bar, no_comments():
        for image in images:
            _add_image(gathering, image, rows, labels)
            bar.advance(1)
    return tuple(names.values()), tuple(names), gathering.done()


def _categories(file: Path, rows: Any) -> dict[int, str]:
    """Name by id, ids ascending."""
    names: dict[int, str] = {}
    for row in rows if isinstance(rows, list) else []:
        number = row.get("id") if isinstance(row, dict) else None
        if not isinstance(number, int) or number in names:
            raise InvalidValue(f"{file}: the category {row} has no id of its own")
        names[number] = str(row.get("name", number))
    if not names:
        raise InvalidValue(f"{file} has no categories: its classes have no names")
    return dict(sorted(names.items()))


def _by_image(content: dict[str, Any], labels: dict[int, int], gathering: ObjectGathering) -> Rows:
    """Return the annotations of each image that is in the file, by its id."""
    known: set[Any] = set()
    for image in content["images"]:
        number = image.get("id")
        if not isinstance(number, int | str):
            gathering.problems.add(str(image.get("file_name")), "an image without id: left out")
        elif number in known:
            raise InvalidValue(f"the json has two images of the id {number!r}")
        known.add(number if isinstance(number, int | str) else None)
    rows: Rows = defaultdict(list)
    for annotation in content["annotations"]:
        name, number = f"annotation {annotation.get('id')}", annotation.get("image_id")
        category = annotation.get("category_id")
        if not isinstance(number, int | str) or number not in known:
            gathering.problems.add(name, "of no image in the file")
        elif not isinstance(category, int) or category not in labels:
            gathering.problems.add(name, f"of the unknown category {category}: left out")
        else:
            rows[number].append(annotation)
    return rows


def _add_image(
    gathering: ObjectGathering, image: dict[str, Any], rows: Rows, labels: dict[int, int]
) -> None:
    name, number = str(image.get("file_name")), image.get("id")
    if not isinstance(number, int | str):
        return
    if (wrong := image_flaw(gathering.root / name, image)) is not None:
        lost = len(rows.get(number, ()))
        gathering.problems.add(name, f"{wrong}: left out" + (" with its objects" if lost else ""))
        return
    size = said_size(image) or upright_size(gathering.root / name)
    for annotation in rows.get(number, ()):
        _add_object(gathering, annotation, size, labels[annotation["category_id"]])
    gathering.image(name, number, size)


def _add_object(
    gathering: ObjectGathering, annotation: dict[str, Any], size: tuple[int, int], label: int
) -> None:
    name = f"annotation {annotation.get('id')}"
    outline = annotation.get("segmentation")
    if outline and (wrong := flaw(outline, size)) is not None:
        gathering.problems.add(name, f"{wrong}: no outline")
        outline = None
    # A box alone is enough to detect; an outline without box has one around it.
    box = _box_of(annotation, outline or None, size)
    area = annotation.get("area")
    if box is None:
        gathering.offered += 1
        gathering.problems.add(name, "no box: left out")
        return
    gathering.add(
        name,
        box,
        size,
        label,
        outline=outline or None,
        area=float(area) if isinstance(area, int | float) else None,
        crowd=bool(annotation.get("iscrowd")),
    )


def _box_of(
    annotation: dict[str, Any], outline: Any, size: tuple[int, int]
) -> tuple[float, float, float, float] | None:
    """Return COCO's x, y, width, height as corners; of an annotation without it, round its outline."""
    box = annotation.get("bbox")
    numbers = isinstance(box, list) and all(isinstance(value, int | float) for value in box)
    if numbers and box is not None and len(box) == 4:
        x, y, width, height = (float(value) for value in box)
        return x, y, x + width, y + height
    return None if outline is None or box else outline_box(outline, size)
