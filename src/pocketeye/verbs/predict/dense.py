"""``pocketeye predict`` with a detector or a segmenter: objects or classes drawn, and COCO's json."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from pocketeye import progress
from pocketeye.data import UnreadableImage, decode
from pocketeye.data.inputs import PictureInput
from pocketeye.devices import Device
from pocketeye.errors import InvalidValue
from pocketeye.models.dense.described import DenseDescription
from pocketeye.predicting.dense import DensePredictor, open_dense_predictor
from pocketeye.results import LabelMap, Result
from pocketeye.results.figures import short
from pocketeye.runs import write_atomic
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs._text import inputs_left_out, path_end, text_table

SCORE = 0.3
DETECTIONS, LABELS = "detections.json", "labels"
_MOST_SHOWN = 20
Found = Result | LabelMap


@dataclass(frozen=True, kw_only=True)
class DensePrediction:
    """What was found in one picture: ``rows`` of objects, or of classes with the share they cover."""

    name: str
    rows: tuple[dict[str, Any], ...]

    def text(self) -> str:
        """In a line."""
        if self.rows and "share" in self.rows[0]:
            best = [f"{short(r['label'], 20)} {100 * r['share']:.0f} %" for r in self.rows[:4]]
            return ", ".join(best) + (" …" if len(self.rows) > 4 else "")
        counts = Counter(row["label"] for row in self.rows).most_common()
        names = [f"{n} {short(label, 20)}" for label, n in counts[:4]]
        return (", ".join(names) or "nothing") + (" …" if len(counts) > 4 else "")


@dataclass(frozen=True, kw_only=True)
class DensePredictResult(VerbResult):
    """Predictions in the order of the pictures, and pictures that could not be read."""

    model: str
    task: str
    predictions: tuple[DensePrediction, ...]
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    score_threshold: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "task": self.task,
            "score_threshold": self.score_threshold if self.task != "semantic" else None,
            "predictions": [
                {"path": row.name, "found": list(row.rows)} for row in self.predictions
            ],
            "problems": list(self.problems),
            "files": list(self.files),
        }

    def lines(self) -> list[str]:
        shown = self.predictions[:_MOST_SHOWN]
        rows = [(path_end(row.name, 40), row.text()) for row in shown]
        lines = text_table(("picture", "found"), rows)
        if len(self.predictions) > _MOST_SHOWN:
            lines.append(f"… and {len(self.predictions) - _MOST_SHOWN} more (all with --json)")
        if self.task != "semantic" and not any(row.rows for row in self.predictions):
            lines.append(
                f"nothing has a score from {self.score_threshold:g}: lower --score-threshold"
            )
        return lines + inputs_left_out(self.problems)

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        if (Path(self.model) / "best.safetensors").is_file():
            return [f"pocketeye export {shlex.quote(self.model)}"]
        return []


def predict_dense(
    model: str,
    pictures: Sequence[PictureInput],
    missing: Sequence[str],
    *,
    score_threshold: float,
    out: Path | None,
    overwrite: bool,
    device: Device,
    threads: int,
) -> DensePredictResult:
    """See :func:`pocketeye.verbs.predict.verb.predict`."""
    if not 0 <= score_threshold <= 1:
        raise InvalidValue(f"--score-threshold lies from 0 to 1, got {score_threshold}")
    folder = out or Path("out") / "predict" / Path(model).resolve().name
    stems = _stems(pictures)
    _require_free(folder, stems, overwrite)
    predictor = open_dense_predictor(model, device=device, threads=threads)
    gathered = _Gathered(predictor.description)
    problems: list[str] = []
    with progress.task("predicting", len(pictures)) as bar:
        for picture, stem in zip(pictures, stems, strict=True):
            try:
                image = np.asarray(decode(picture.read()))
            except UnreadableImage as error:
                problems.append(f"{picture.name}: {error}")
            else:
                found = _found(predictor, image, score_threshold)
                found.save(folder / f"{stem}.png")
                if isinstance(found, LabelMap):
                    found.save(folder / LABELS / f"{stem}.png", "labels")
                gathered.add(picture.name, found)
            bar.advance()
    if not gathered.predictions:
        raise InvalidValue(f"none of {len(pictures)} pictures can be read; first: {problems[0]}")
    written = write_atomic(folder / DETECTIONS, json.dumps(gathered.to_coco()) + "\n")
    return DensePredictResult(
        model=model,
        task=predictor.description.task,
        predictions=tuple(gathered.predictions),
        problems=(*missing, *problems),
        files=(folder, written),
        score_threshold=score_threshold,
    )


def _found(predictor: DensePredictor, image: np.ndarray, score_threshold: float) -> Found:
    """With the picture it is drawn on."""
    found = predictor.predict([image])[0]
    if isinstance(found, Result):
        return found.above(score_threshold).with_image(image)
    return LabelMap(labels=found, classes=predictor.description.classes, image=image)


class _Gathered:
    """What was found, as COCO's json and in short."""

    def __init__(self, description: DenseDescription) -> None:
        classes = description.classes
        ids = description.category_ids or tuple(range(1, len(classes) + 1))
        self.categories = dict(zip(classes, ids, strict=True))
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


def _stems(pictures: Sequence[PictureInput]) -> list[str]:
    """Names of the files to write: those of the pictures, numbered where two are the same."""
    stems = [
        "".join(c if c.isalnum() or c in "_-." else "-" for c in PurePath(picture.name).stem)[:100]
        for picture in pictures
    ]
    if len({stem.casefold() for stem in stems}) == len(stems):
        return stems
    digits = max(4, len(str(len(stems))))
    return [f"{number:0{digits}}-{stem}" for number, stem in enumerate(stems, 1)]


def _require_free(folder: Path, stems: Sequence[str], overwrite: bool) -> None:
    """Refuse before any work what would be overwritten."""
    if folder.exists() and not folder.is_dir():
        raise InvalidValue(f"--out takes a folder, and {folder} is a file")
    taken = [folder / DETECTIONS, *(folder / f"{stem}.png" for stem in stems)]
    there = [path for path in taken if path.exists()]
    if there and not overwrite:
        raise InvalidValue(f"{there[0]} exists already: replace it with --overwrite")
