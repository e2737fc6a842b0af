"""Read COCO's json of instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.files import Problems, SetFiles, missing_text, no_comments
from pocketeye.data.files.annotations.coco_json import (
    image_flaw,
    image_folder,
    json_of,
    read_coco,
    said_size,
)
from pocketeye.data.files.annotations.shapes import flaw, polygon_mask, runs_mask, runs_of


class CocoReader:
    """Give images that have annotations of single objects; crowds are passed over.

    Left out and named: images that are not there or whose size is not the json's, annotations of no
    image or with a broken segmentation.

    Args:
        root: the set's folder, or its json file.
        split: a word in the json's name, needed where there are several.

    Raises:
        MissingFile: no json with that word.
        InvalidValue: several, no json, or not COCO's.
    """

    def __init__(self, root: Path, split: str | None) -> None:
        file = root if root.is_file() else json_of(root, split)
        problems = Problems()
        content = read_coco(file, problems)
        segmentations: dict[Any, list[Any]] = defaultdict(list)
        known = {row["id"]: row for row in content["images"] if row["id"] is not None}
        for annotation in content["annotations"]:
            name = f"annotation {annotation.get('id')}"
            if annotation.get("iscrowd"):
                continue
            image = known.get(annotation.get("image_id"))
            if image is None:
                problems.add(name, "of no image in the file")
            elif (wrong := flaw(annotation.get("segmentation"), said_size(image))) is not None:
                problems.add(name, wrong)
            else:
                segmentations[annotation["image_id"]].append(annotation["segmentation"])
        self.folder = image_folder(file, content["images"])
        files = SetFiles(self.folder)
        self.names: list[str] = []
        self.segmentations: list[list[Any]] = []
        with no_comments():
            for image in content["images"]:
                if image.get("id") not in segmentations:
                    continue
                said = str(image.get("file_name"))
                found = files.find(said)
                if found is None:
                    problems.add(said, missing_text(said))
                elif (wrong := image_flaw(self.folder / found, image)) is not None:
                    problems.add(found, wrong)
                else:
                    self.names.append(found)
                    self.segmentations.append(segmentations[image["id"]])
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        return self.names[index]

    def image(self, index: int) -> Path:
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
