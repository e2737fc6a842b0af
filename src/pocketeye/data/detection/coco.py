"""Read boxes and outlines of COCO's json."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from pocketeye import progress
from pocketeye.data.detection.objects import ObjectGathering, Objects
from pocketeye.data.files import Problems, SetFiles, missing_text, no_comments, upright_size
from pocketeye.data.files.annotations.coco_json import (
    image_flaw,
    image_folder,
    json_of,
    jsons_of,
    read_coco,
    said_size,
)
from pocketeye.data.files.annotations.shapes import flaw, outline_box
from pocketeye.errors import InvalidValue

Rows = dict[Any, list[dict[str, Any]]]


def read_coco_boxes(
    root: Path, split: str | None, masks: bool
) -> tuple[tuple[str, ...], tuple[int, ...], Objects]:
    """Read the classes' names, COCO's ids of them (ascending), and what is in the images.

    A heading is no class: a category that no object has and that is the ``supercategory`` of all others,
    as Roboflow writes one.

    Raises:
        MissingFile: no json of that split.
        InvalidValue: several, not COCO's, or categories that do not tell the classes.
    """
    file = root if root.is_file() else json_of(root, split)
    problems = Problems()
    content = read_coco(file, problems)
    names = _categories(file, content.get("categories"))
    heading = _heading(root, file, content)
    heading_name = None if heading is None else names.pop(heading)
    labels = {category: label for label, category in enumerate(names)}
    images = content["images"]
    gathering = ObjectGathering(image_folder(file, images), masks, problems)
    files = SetFiles(gathering.root)
    rows = _by_image(content, labels, gathering)
    with progress.task(f"looking at {root}", len(images)) as bar, no_comments():
        for image in images:
            # Images before annotations: each of these must find its image.
            _add_image(gathering, files, image, rows, labels)
            bar.advance(1)
    if heading_name is not None:
        problems.add(
            heading_name, "no object has this category, which all others are below: not a class"
        )
    return tuple(names.values()), tuple(names), gathering.done()


def _categories(file: Path, rows: Any) -> dict[int, str]:
    """Name by id, ids ascending."""
    names: dict[int, str] = {}
    for row in rows if isinstance(rows, list) else []:
        number = row.get("id") if isinstance(row, dict) else None
        if not isinstance(number, int) or number in names:
            raise InvalidValue(f"{file}: the category {row} has no id of its own")
        name = row.get("name")
        names[number] = str(number if name in (None, "") else name)
    if not names:
        raise InvalidValue(f"{file} has no categories: its classes have no names")
    return dict(sorted(names.items()))


def _heading(root: Path, file: Path, content: dict[str, Any]) -> int | None:
    """Return the id of the category that is no class but the heading of all others, if there is one."""
    categories = content["categories"]
    # Roboflow writes the project's name as a category above all others.
    above = {str(row.get("supercategory")) for row in categories}
    heads = [row for row in categories if str(row.get("name")) in above]
    # A project of Roboflow may be called as its only class: the one without a heading is the heading.
    tops = [row for row in heads if row.get("supercategory") in (None, "", "none")] or heads
    if len(categories) < 2 or len(tops) != 1:
        return None
    head = tops[0]
    others = [row for row in categories if row is not head]
    own, name = head.get("supercategory"), head.get("name")
    is_top = own in (None, "", "none", name)
    if not is_top or any(row.get("supercategory") != name for row in others):
        return None
    # Every split must have the same classes: an object in any of them makes it one.
    rest = [other for other in jsons_of(root) if other != file] if root.is_dir() else []
    contents = [content, *(read_coco(other, Problems()) for other in rest)]
    used = any(row.get("category_id") == head["id"] for c in contents for row in c["annotations"])
    return None if used else int(head["id"])


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
    gathering: ObjectGathering,
    files: SetFiles,
    image: dict[str, Any],
    rows: Rows,
    labels: dict[int, int],
) -> None:
    said, number = str(image.get("file_name")), image.get("id")
    if not isinstance(number, int | str):
        return
    name = files.find(said)
    wrong = missing_text(said) if name is None else image_flaw(gathering.root / name, image)
    if name is None or wrong is not None:
        # Its objects are gone with it: the sentence says so.
        lost = len(rows.get(number, ()))
        gathering.problems.add(said, f"{wrong}: left out" + (" with its objects" if lost else ""))
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
        # It was offered all the same: an image all of whose boxes are bad is named.
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
    # A box that is there but no box: an outline beside it may be as wrong.
    return None if outline is None or box else outline_box(outline, size)
