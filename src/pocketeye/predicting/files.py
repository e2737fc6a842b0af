"""Write the predictions of classifiers to files."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from pocketeye.predicting.contact_sheet import save_contact_sheet
from pocketeye.predicting.predict import Prediction
from pocketeye.runs import make_folder, write_atomic, write_table
from pocketeye.text import file_stem

SHEET, FOLDER = "predictions.png", "predictions"


def save_predictions(predictions: list[Prediction], name: str, out: Path) -> list[Path]:
    """Write the sheet, and a JSON file for each image: ``predictions/0001-cat.json``."""
    make_folder(out / FOLDER)
    for old in (out / FOLDER).glob("[0-9]*-*.json"):
        old.unlink()
    digits = max(4, len(str(len(predictions))))
    for number, row in enumerate(predictions, 1):
        stem = file_stem(PurePath(row.name).stem, 60)
        path = out / FOLDER / f"{number:0{digits}}-{stem}.json"
        write_atomic(path, json.dumps(row.to_dict(), indent=1, ensure_ascii=False) + "\n")
    title = f"{name} · {len(predictions)} image{'s' if len(predictions) > 1 else ''}"
    return [save_contact_sheet(predictions, out / SHEET, title), out / FOLDER]


def save_csv(predictions: list[Prediction], path: Path, name: str = "path") -> Path:
    """Write a row per image: its path, then class and probability from the likeliest down.

    Args:
        predictions: of images, or of the frames of a video.
        path: of the file.
        name: of the first column: ``path``, or ``frame``.
    """
    make_folder(path.parent)
    count = max(len(row.classes) for row in predictions)
    header = [name]
    for place in range(1, count + 1):
        header += [f"class_{place}", f"probability_{place}"]
    pairs = (zip(row.classes, row.probabilities, strict=True) for row in predictions)
    rows = [
        [row.name, *(value for pair in best for value in pair)]
        for row, best in zip(predictions, pairs, strict=True)
    ]
    return write_table(path, header, rows)
