"""Gather what detectors and segmenters find in many files, to write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from pocketeye.data.inputs import ImageInput
from pocketeye.models.dense.described import DenseDescription
from pocketeye.predicting.dense import DensePredictor
from pocketeye.results import LabelMap, Result
from pocketeye.results.figures import short
from pocketeye.text import file_stem

Found = Result | LabelMap


@dataclass(frozen=True, kw_only=True)
class DensePrediction:
    """Hold what was found in one image: ``rows`` of objects, or of classes with the share they cover."""

    name: str
    rows: tuple[dict[str, Any], ...]

    def text(self) -> str:
        """Say in one line what was found."""
        if self.rows and "share" in self.rows[0]:
            best = [f"{short(r['label'], 20)} {100 * r['share']:.0f} %" for r in self.rows[:4]]
            return ", ".join(best) + (" …" if len(self.rows) > 4 else "")
        counts = Counter(row["label"] for row in self.rows).most_common()
        names = [f"{n} {short(label, 20)}" for label, n in counts[:4]]
        return (", ".join(names) or "nothing") + (" …" if len(counts) > 4 else "")


def found_in(predictor: DensePredictor, image: np.ndarray, score_threshold: float) -> Found:
    """Look into one image; the image goes along to be drawn on."""
    found = predictor.predict([image])[0]
    if isinstance(found, Result):
        return found.above(score_threshold).with_image(image)
    return LabelMap(labels=found, classes=predictor.description.classes, image=image)


def categories_of(description: DenseDescription) -> dict[str, int]:
    """Return the ids of the classes: of the training's json, so that results fit it, else from 1."""
    classes = description.classes
    ids = description.category_ids or tuple(range(1, len(classes) + 1))
    return dict(zip(classes, ids, strict=True))


class ObjectRecords:
    """Gather what was found, as COCO's json and in short."""

    def __init__(self, description: DenseDescription) -> None:
        self.categories = categories_of(description)
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.predictions: list[DensePrediction] = []

    def add(self, name: str, found: Found) -> None:
        number = len(self.images) + 1
        width, height = found.size
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        first = len(self.annotations) + 1
        if isinstance(found, LabelMap):
            rows = [{"label": label, "share": share} for label, share in found.shares().items()]
            ids = list(self.categories.values())
        else:
            rows = found.table()
            ids = [self.categories[label] for label in found.labels or ()]
        self.annotations += found.to_coco(image_id=number, category_ids=ids, first_id=first)
        self.predictions.append(DensePrediction(name=name, rows=tuple(rows)))

    def to_coco(self) -> dict[str, Any]:
        return {
            "images": self.images,
            "annotations": self.annotations,
            "categories": [{"id": id_, "name": name} for name, id_ in self.categories.items()],
        }


def file_stems(images: Sequence[ImageInput]) -> list[str]:
    """Name the files to write after the images, with numbers where two would be the same."""
    stems = [file_stem(PurePath(image.name).stem) for image in images]
    # Without regard to case: two such names are one file on macOS and Windows.
    if len({stem.casefold() for stem in stems}) == len(stems):
        return stems
    digits = max(4, len(str(len(stems))))
    return [f"{number:0{digits}}-{stem}" for number, stem in enumerate(stems, 1)]
