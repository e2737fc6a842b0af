"""``pocketeye predict`` with a detector or a segmenter: objects or classes drawn, and COCO's json."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye import progress
from pocketeye.data import UnreadableImage, decode
from pocketeye.data.inputs import ImageInput
from pocketeye.devices import Device
from pocketeye.errors import InvalidValue
from pocketeye.models.reference import Run, resolve
from pocketeye.models.task import Task
from pocketeye.predicting.dense import open_dense_predictor
from pocketeye.predicting.dense_files import DensePrediction, ObjectRecords, file_stems, found_in
from pocketeye.results import LabelMap
from pocketeye.runs import write_atomic
from pocketeye.text import inputs_left_out, path_end, text_table
from pocketeye.verbs._result import Prediction

SCORE = 0.3
DETECTIONS, LABELS = "detections.json", "labels"
_MOST_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class DensePredictResult(Prediction):
    """Predictions in the order of the images, and images that could not be read."""

    model: str
    task: Task
    predictions: tuple[DensePrediction, ...]
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    score_threshold: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "task": self.task.name,
            "score_threshold": self.score_threshold if self.task.finds_objects else None,
            "predictions": [
                {"path": row.name, "found": list(row.rows)} for row in self.predictions
            ],
            "problems": list(self.problems),
            "files": list(self.files),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per object, or per class that pixels have."""
        return [{"path": row.name, **found} for row in self.predictions for found in row.rows]

    def lines(self) -> list[str]:
        shown = self.predictions[:_MOST_SHOWN]
        rows = [(path_end(row.name, 40), row.text()) for row in shown]
        lines = text_table(("image", "found"), rows)
        if len(self.predictions) > _MOST_SHOWN:
            lines.append(f"… and {len(self.predictions) - _MOST_SHOWN} more (all with --json)")
        if self.task.finds_objects and not any(row.rows for row in self.predictions):
            lines.append(
                f"nothing has a score from {self.score_threshold:g}: lower --score-threshold"
            )
        return lines + inputs_left_out(self.problems)

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        if isinstance(resolve(self.model), Run):
            return [f"pocketeye export {shlex.quote(self.model)}"]
        return []


def predict_dense(
    model: str,
    images: Sequence[ImageInput],
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
    stems = file_stems(images)
    _require_free(folder, stems, overwrite)
    predictor = open_dense_predictor(model, device=device, threads=threads)
    gathered = ObjectRecords(predictor.description)
    problems: list[str] = []
    with progress.task("predicting", len(images)) as bar:
        for image, stem in zip(images, stems, strict=True):
            try:
                pixels = np.asarray(decode(image.read()))
            except UnreadableImage as error:
                problems.append(f"{image.name}: {error}")
            else:
                found = found_in(predictor, pixels, score_threshold)
                found.save(folder / f"{stem}.png")
                if isinstance(found, LabelMap):
                    found.save(folder / LABELS / f"{stem}.png", "labels")
                gathered.add(image.name, found)
            bar.advance()
    if not gathered.predictions:
        raise InvalidValue(f"none of {len(images)} images can be read; first: {problems[0]}")
    written = write_atomic(folder / DETECTIONS, json.dumps(gathered.to_coco()) + "\n")
    return DensePredictResult(
        model=model,
        task=predictor.description.task,
        predictions=tuple(gathered.predictions),
        problems=(*missing, *problems),
        files=(folder, written),
        score_threshold=score_threshold,
    )


def _require_free(folder: Path, stems: Sequence[str], overwrite: bool) -> None:
    """Refuse before any work what would be overwritten."""
    if folder.exists() and not folder.is_dir():
        raise InvalidValue(f"--out takes a folder, and {folder} is a file")
    taken = [folder / DETECTIONS, *(folder / f"{stem}.png" for stem in stems)]
    there = [path for path in taken if path.exists()]
    if there and not overwrite:
        raise InvalidValue(f"{there[0]} exists already: replace it with --overwrite")
