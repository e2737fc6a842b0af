"""Run ``pocketeye predict`` with a classifier: the likeliest classes of each image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from pocketeye.data.inputs import ImageInput, named_places
from pocketeye.data.labelled.writing import label_files
from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.metrics.doubts import doubts_of_answers
from pocketeye.models.backbones.packaged import PACKAGED
from pocketeye.predicting.contact_sheet import CELL, MOST_IMAGES
from pocketeye.predicting.files import save_csv, save_predictions
from pocketeye.predicting.labels import label_classes
from pocketeye.predicting.predict import Prediction, predict
from pocketeye.predicting.predictor import Predictor
from pocketeye.results.figures import short
from pocketeye.text import human_percent, inputs_left_out, note_lines, path_end, text_table
from pocketeye.verb_result import Prediction as Outcome
from pocketeye.verbs._next import onwards

_MOST_SHOWN, _MOST_CLASSES = 20, 3


@dataclass(frozen=True, kw_only=True)
class PredictResult(Outcome):
    """Hold predictions in the order of the images, and images that could not be read.

    ``by_default`` says that the user named no network; ``num_classes`` are those it tells apart.
    """

    model: str
    predictions: tuple[Prediction, ...]
    problems: tuple[str, ...]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    by_default: bool = False
    num_classes: int = 1

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Tell why these answers should not be taken at their word, as far as that can be told."""
        # All images together: a single flat answer may be right.
        probabilities = [row.probabilities for row in self.predictions]
        return doubts_of_answers(probabilities, self.num_classes)

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "predictions": [row.to_dict() for row in self.predictions],
            "doubts": [str(doubt) for doubt in self.doubts],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "files": list(self.files),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per image and class, likeliest first."""
        return [
            {"path": row.name, "class": name, "probability": float(share)}
            for row in self.predictions
            for name, share in zip(row.classes, row.probabilities, strict=True)
        ]

    def lines(self) -> list[str]:
        shown = self.predictions[:_MOST_SHOWN]
        count = min(_MOST_CLASSES, max(len(row.classes) for row in shown))
        header, rows = ["image"], [[path_end(row.name, 40)] for row in shown]
        for place in range(count):
            header += [("most likely", "second", "third")[place], ""]
            for cells, row in zip(rows, shown, strict=True):
                known = isfinite(row.probabilities[place])
                cells.append(short(row.classes[place], 28) if known else "no answer")
                cells.append(human_percent(row.probabilities[place]))
        lines = text_table(header, rows, right=[2 * place + 2 for place in range(count)])
        if len(self.predictions) > _MOST_SHOWN:
            more = len(self.predictions) - _MOST_SHOWN
            lines.append(f"… and {more} more (all with --csv FILE, --out FOLDER or --json)")
        if self.by_default:
            lines.append(
                f"by {self.model}, which tells {PACKAGED[self.model].data}'s classes apart"
            )
        lines += note_lines(self.notes)
        return [*lines, *doubt_lines(self.doubts), *inputs_left_out(self.problems)]

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        return onwards(self.model)


def predict_classes(
    model: str,
    predictor: Predictor,
    inputs: Sequence[ImageInput],
    missing: Sequence[str],
    *,
    topk: int,
    batch_size: int,
    csv: Path | None,
    out: Path | None,
    form: str | None,
    by_default: bool,
) -> PredictResult:
    """See :func:`pocketeye.verbs.predict.verb.predict`."""
    predictions, problems = predict(
        predictor, inputs, topk=topk, batch_size=batch_size,
        # As many as the sheet shows: the others would only fill memory.
        thumbnails=MOST_IMAGES if out and not form else 0, thumbnail_size=CELL,
    )  # fmt: skip
    files: list[Path] = []
    notes: tuple[str, ...] = ()
    if out and form:
        labels = label_files.LabelFiles(out, form, named_places(inputs))
        with labels.writing():
            problems += label_classes(labels, predictions, inputs)
            files = labels.finish()
        notes = labels.notes
    elif out:
        files = save_predictions(predictions, predictor.info.name, out)
    if csv:
        files.append(save_csv(predictions, csv))
    return PredictResult(
        model=model,
        predictions=tuple(predictions),
        problems=(*missing, *problems),
        files=tuple(files),
        notes=notes,
        by_default=by_default,
        num_classes=len(predictor.info.classes),
    )
