"""COCO's json of instances."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data._decode import UnreadableImage, header_size, no_comments
from pocketeye.data._listing import Problems, some
from pocketeye.data._shapes import flaw, polygon_mask, runs_mask, runs_of
from pocketeye.errors import InvalidValue, MissingFile


class CocoReader:
    """Pictures that have annotations of single objects; crowds are passed over.

    Left out and named: pictures that are not there or whose size is not the json's, annotations of no
    picture or with a broken segmentation.

    Args:
        root: the set's folder, or its json file.
        split: a word in the json's name, needed where there are several.

    Raises:
        MissingFile: no json with that word.
        InvalidValue: several, no json, or not COCO's.
    """

    def __init__(self, root: Path, split: str | None) -> None:
        file = root if root.is_file() else _json_of(root, split)
        content = _read(file)
        problems = Problems()
        segmentations: dict[Any, list[Any]] = defaultdict(list)
        known = {image.get("id"): image for image in content["images"]}
        for annotation in content["annotations"]:
            name = f"annotation {annotation.get('id')}"
            if annotation.get("iscrowd"):
                continue
            image = known.get(annotation.get("image_id"))
            if image is None:
                problems.add(name, "of no picture in the file")
            elif (wrong := flaw(annotation.get("segmentation"), _size(image))) is not None:
                problems.add(name, wrong)
            else:
                segmentations[annotation["image_id"]].append(annotation["segmentation"])
        self.folder = _folder_of(file, content["images"])
        self.names: list[str] = []
        self.segmentations: list[list[Any]] = []
        with no_comments():
            for image in content["images"]:
                if image.get("id") not in segmentations:
                    continue
                name = str(image.get("file_name"))
                if (wrong := _picture_flaw(self.folder / name, image)) is not None:
                    problems.add(name, wrong)
                else:
                    self.names.append(name)
                    self.segmentations.append(segmentations[image["id"]])
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def picture(self, index: int) -> Path:
        return self.folder / self.names[index]

    def shapes(
        self, index: int, size: tuple[int, int]
    ) -> tuple[tuple[Callable[[], np.ndarray], ...], tuple[bool, ...]]:
        shapes = tuple(
            partial(runs_mask, runs_of(s, size), size)
            if isinstance(s, dict)
            else partial(polygon_mask, s, size)
            for s in self.segmentations[index]
        )
        return shapes, (True,) * len(shapes)


def _json_of(root: Path, split: str | None) -> Path:
    folder = root / "annotations"
    files = sorted(folder.glob("instances*.json")) or sorted(folder.glob("*.json"))
    fitting = [file for file in files if split is None or split in file.stem]
    names = some([file.name for file in files])
    if not fitting:
        raise MissingFile(
            f"{folder} has no json of the split {split!r}; there is {names or 'none'}"
        )
    if len(fitting) > 1:
        raise InvalidValue(f"{folder} has several jsons ({names}): name the split, such as 'train'")
    return fitting[0]


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
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
    return content


def _folder_of(file: Path, images: list[dict[str, Any]]) -> Path:
    """Where the pictures lie: a folder named like the json, ``images``, or beside the json."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    word = file.stem.removeprefix("instances_")
    places = [root / word, root / "images" / word, root / "images", root]
    first = [str(image.get("file_name")) for image in images[:20]]
    for place in places:
        if any((place / name).is_file() for name in first):
            return place
    return places[0]


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    sides = image.get("width"), image.get("height")
    return sides if all(isinstance(side, int) for side in sides) else None  # type: ignore[return-value]


def _picture_flaw(path: Path, image: dict[str, Any]) -> str | None:
    if not path.is_file():
        return "missing picture"
    try:
        width, height = header_size(path)
    except UnreadableImage as error:
        return str(error)
    said = (image.get("width", width), image.get("height", height))
    if said not in ((width, height), (height, width)):  # turned by EXIF when it is decoded
        return f"a picture of {width}x{height}, but the json says {said[0]}x{said[1]}"
    return None
