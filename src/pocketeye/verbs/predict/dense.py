"""Run ``pocketeye predict`` with a detector or a segmenter: drawings and COCO's json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.data.inputs import ImageInput, named_places
from pocketeye.data.labelled.writing.label_files import LabelFiles, label_form, require_free
from pocketeye.devices import Device
from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.errors import InvalidValue
from pocketeye.metrics.doubts import LEARN
from pocketeye.models.task import Task
from pocketeye.predicting.dense import open_dense_predictor
from pocketeye.predicting.dense_files import DensePrediction, categories_of, file_stems
from pocketeye.predicting.dense_folder import DETECTIONS, predict_into
from pocketeye.text import inputs_left_out, note_lines, path_end, text_table
from pocketeye.verb_result import Prediction
from pocketeye.verbs._next import onwards

SCORE = 0.3  # as torchvision's and our own reports have it
_MOST_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class DensePredictResult(Prediction):
    """Hold predictions in the order of the images, and images that could not be read."""

    model: str
    task: Task
    predictions: tuple[DensePrediction, ...]
    problems: tuple[str, ...]
    files: tuple[Path, ...]
    score_threshold: float
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "task": self.task.name,
            "score_threshold": self.score_threshold if self.task.finds_objects else None,
            "predictions": [
                {"path": row.name, "found": list(row.rows)} for row in self.predictions
            ],
            "doubts": [str(doubt) for doubt in self.doubts],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "files": list(self.files),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per object, or per class that pixels have."""
        return [{"path": row.name, **found} for row in self.predictions for found in row.rows]

    def lines(self) -> list[str]:
        shown = self.predictions[:_MOST_SHOWN]
        nothing = f"nothing >= {self.score_threshold:g}"
        rows = [(path_end(row.name, 40), row.text() if row.rows else nothing) for row in shown]
        lines = text_table(("image", "found"), rows)
        if len(self.predictions) > _MOST_SHOWN:
            lines.append(f"… and {len(self.predictions) - _MOST_SHOWN} more (all with --json)")
        if self.task.finds_objects and not any(row.rows for row in self.predictions):
            lines.append(
                f"no object has a score of {self.score_threshold:g} or more: "
                "lower --score-threshold"
            )
        lines += note_lines(self.notes)
        return [*lines, *doubt_lines(self.doubts), *inputs_left_out(self.problems)]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Tell why these answers should not be taken at their word, as far as that can be told."""
        classes = {row["label"] for found in self.predictions for row in found.rows}
        # One image may well be all sky; two are suspicious.
        if not self.task.labels_pixels or len(classes) != 1 or len(self.predictions) < 2:
            return ()
        seen = f"every pixel of {len(self.predictions)} images is called '{classes.pop()}'"
        return (Doubt(what="one class is said of everything", seen=seen, remedy=LEARN),)

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        return onwards(self.model)


def predict_dense(
    model: str,
    images: Sequence[ImageInput],
    missing: Sequence[str],
    *,
    score_threshold: float,
    out: Path | None,
    form: str | None,
    overwrite: bool,
    device: Device,
    threads: int,
) -> DensePredictResult:
    """See :func:`pocketeye.verbs.predict.verb.predict`."""
    if not 0 <= score_threshold <= 1:
        raise InvalidValue(f"--score-threshold lies from 0 to 1, got {score_threshold}")
    name = Path(model).resolve().name + (f"-{form}" if form else "")
    target = out or Path("out") / "predict" / name
    chosen = label_form(target, form)
    stems = file_stems(images)
    # Before the network is loaded.
    if chosen is None:
        _require_free(target, stems, overwrite)
    else:
        require_free(target, overwrite)
    predictor = open_dense_predictor(model, device=device, threads=threads)
    labels = chosen and LabelFiles(
        target, chosen, named_places(images), categories_of(predictor.description)
    )
    pairs = list(zip(images, stems, strict=True))
    gathered, problems = predict_into(predictor, pairs, target, score_threshold, labels or None)
    return DensePredictResult(
        model=model,
        task=predictor.description.task,
        predictions=tuple(gathered.predictions),
        problems=(*missing, *problems),
        files=(target,) if chosen else (target, target / DETECTIONS),
        score_threshold=score_threshold,
        notes=labels.notes if labels else (),
    )


def _require_free(folder: Path, stems: Sequence[str], overwrite: bool) -> None:
    """Refuse before any work what would be overwritten."""
    if folder.exists() and not folder.is_dir():
        raise InvalidValue(f"--out takes a folder, and {folder} is a file")
    taken = [folder / DETECTIONS, *(folder / f"{stem}.png" for stem in stems)]
    there = [path for path in taken if path.exists()]
    if there and not overwrite:
        raise InvalidValue(f"{there[0]} exists already: replace it with --overwrite")
