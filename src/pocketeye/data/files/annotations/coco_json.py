"""Find and read COCO's json of instances, and find its images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocketeye.data.files.annotations.scalars import read_flag, read_id, read_number
from pocketeye.data.files.annotations.shapes import read_outline
from pocketeye.data.files.decode import UnreadableImage, header_size, upright_size
from pocketeye.data.files.foreign_paths import find_inside
from pocketeye.data.files.problems import Problems
from pocketeye.data.files.splits import SPLITS, known_split, split_in
from pocketeye.data.files.text_files import files_in
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.reading import MOST_ANNOTATION_BYTES, parse_json, read_regular
from pocketeye.text import some

ROBOFLOW = "_annotations.coco.json"
_LOOKED_AT = 20  # images by which the folder is told; a few may be missing


def jsons_of(root: Path) -> list[Path]:
    """Return the jsons of a set: in ``annotations``, or one beside the images of each split."""
    files = files_in(root / "annotations", ".json")
    # Other jsons beside them are captions or keypoints.
    named = [file for file in files if file.name.lower().startswith("instances")]
    if named or files:
        return named or files
    inside = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    beside = [file for folder in (*inside, root) for file in files_in(folder, ".json")]
    found = [file for file in beside if _is_roboflow(file)]
    # Below a split's folder it is that split's; in the root it is of the whole set.
    return [file for file in found if file.parent != root] or found


def json_of(root: Path, split: str | None) -> Path:
    """Return the json of one split: its name has that word, or its folder's.

    Raises:
        MissingFile: none has it.
        InvalidValue: several have.
    """
    files = jsons_of(root)
    # The user's word first, then any spelling of it.
    fitting = [file for file in files if split is None or split in _word(file)]
    if not fitting and known_split(split or ""):
        fitting = [file for file in files if split_in(_word(file)) == known_split(split or "")]
    names = some([_word(file) for file in files])
    if not fitting:
        raise MissingFile(f"{root} has no json of the split {split!r}; there is {names or 'none'}")
    # `train` is in `minitrain` too: the exact name wins.
    exact = [file for file in fitting if _word(file) == f"instances_{split}"]
    if len(exact or fitting) > 1:
        raise InvalidValue(f"{root} has several jsons ({names}): name the split, such as 'train'")
    return (exact or fitting)[0]


def coco_splits(root: Path) -> tuple[str, ...]:
    """Return the splits the jsons are named for, train first: ``train2017``; none for one json."""
    files = [] if root.is_file() else jsons_of(root)
    names = [_word(file).removeprefix("instances_") for file in files] if len(files) > 1 else []
    order = {split: place for place, split in enumerate(SPLITS)}
    return tuple(sorted(names, key=lambda name: order.get(split_in(name) or "", len(order))))


def _is_roboflow(file: Path) -> bool:
    return file.name.lower() == ROBOFLOW


def _word(file: Path) -> str:
    """Return the word that tells the splits apart."""
    return file.parent.name if _is_roboflow(file) else file.stem


def read_coco(file: Path, problems: Problems) -> dict[str, Any]:
    """Read the content of a json, its values as COCO means them.

    Ids are whole numbers, or text that is none; ``iscrowd`` is a bool; boxes, areas and outlines are
    numbers (outlines as :func:`pocketeye.data.files.annotations.shapes.read_outline` makes them),
    whatever kind of value they were written as. What cannot be read so stays as it is, for the
    reader to name.

    Raises:
        InvalidValue: no json, without the lists ``images`` and ``annotations``, or with ids of two
            kinds, so that no annotation finds its image or its category.
    """
    try:
        content = parse_json(read_regular(file, MOST_ANNOTATION_BYTES))
    except (OSError, ValueError) as error:
        raise InvalidValue(f"{file} cannot be read as json: {error}") from error
    lists = isinstance(content, dict) and all(
        isinstance(content.get(key), list) and all(isinstance(row, dict) for row in content[key])
        for key in ("images", "annotations")
    )
    if not lists:
        raise InvalidValue(
            f"{file} is not COCO's: the lists 'images' and 'annotations' are missing"
        )
    _refuse_mixed_ids(file, content)
    categories = content.get("categories")
    for row in (*content["images"], *(categories if isinstance(categories, list) else ())):
        if isinstance(row, dict):
            _set_ids(row, "id")
    for annotation in content["annotations"]:
        _read_annotation(annotation, problems)
    return content


def _refuse_mixed_ids(file: Path, content: dict[str, Any]) -> None:
    """Refuse ids that are text on one side and numbers on the other: which are meant is a guess."""
    # A number on one side and text on the other may or may not mean the same.
    for key, rows in (("image_id", content["images"]), ("category_id", content.get("categories"))):
        ids = [
            row.get("id")
            for row in (rows if isinstance(rows, list) else ())
            if isinstance(row, dict)
        ]
        numbers = all(isinstance(each, int) for each in ids)
        texts = all(isinstance(each, str) for each in ids)
        for annotation in content["annotations"] if ids else ():
            value = annotation.get(key)
            if (numbers and isinstance(value, str)) or (texts and isinstance(value, int)):
                side = "images" if key == "image_id" else "categories"
                raise InvalidValue(
                    f"{file}: annotation {annotation.get('id')} has the {key} {json.dumps(value)}, but "
                    f"an id of its {side} is {json.dumps(ids[0])}: write both as numbers or as text"
                )


def _set_ids(row: dict[str, Any], *keys: str) -> None:
    for key in keys:
        row[key] = read_id(row.get(key))


def _read_annotation(row: dict[str, Any], problems: Problems) -> None:
    _set_ids(row, "id", "image_id", "category_id")
    if (crowd := read_flag(row.get("iscrowd"))) is None:
        problems.add(f"annotation {row.get('id')}", "an iscrowd that is no 0 or 1: taken as 0")
    row["iscrowd"] = bool(crowd)
    if isinstance(row.get("bbox"), list):
        numbers = [read_number(value) for value in row["bbox"]]
        row["bbox"] = numbers if None not in numbers else row["bbox"]
    row["area"] = read_number(row.get("area"))
    if row.get("segmentation"):
        row["segmentation"] = read_outline(row["segmentation"])


def image_folder(file: Path, images: list[dict[str, Any]]) -> Path:
    """Find where the images lie: a folder named like the json, ``images``, or beside the json."""
    # A folder beside annotations, or the json's own.
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    word = file.stem.removeprefix("instances_")
    places = [root / word, root / "images" / word, root / "images", root]
    first = [str(image.get("file_name")) for image in images[:_LOOKED_AT]]
    for place in places:
        if any(find_inside(place, name) for name in first):
            return place
    return places[0]


def said_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (width, height) as the json says; None where it does not."""
    width, height = read_id(image.get("width")), read_id(image.get("height"))
    sound = isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0
    return (width, height) if sound else None  # type: ignore[return-value]


def image_flaw(path: Path, image: dict[str, Any]) -> str | None:
    """Say what is wrong with an image by its header (Pillow may warn); None where nothing is."""
    try:
        stored, upright = header_size(path), upright_size(path)
    except UnreadableImage as error:
        return str(error)
    said = said_size(image)
    # Annotations are made on the image as stored, or as shown.
    if said is not None and said not in (stored, upright):
        return f"an image of {upright[0]}x{upright[1]}, but the json says {said[0]}x{said[1]}"
    return None
