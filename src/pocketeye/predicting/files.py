"""Write the predictions of classifiers to files."""

from __future__ import annotations

import json
from pathlib import Path, PurePath

from pocketeye.errors import InvalidValue
from pocketeye.outputs import held
from pocketeye.predicting.contact_sheet import save_contact_sheet
from pocketeye.predicting.predict import Prediction
from pocketeye.runs import make_folder, write_atomic, write_table
from pocketeye.text import file_stem

SHEET, FOLDER = "predictions.png", "predictions"


def save_predictions(predictions: list[Prediction], name: str, out: Path) -> list[Path]:
    """Write the sheet, and a JSON file for each image: ``predictions/0001-cat.json``.

    Raises:
        InvalidValue: the folder cannot be written, or another process writes there.
    """
    folder = out / FOLDER
    make_folder(folder)
    digits = max(4, len(str(len(predictions))))
    with held(folder):
        # Old predictions would stand among the new ones as if they were of this call.
        for old in folder.glob("[0-9]*-*.json"):
            old.unlink()
        for number, row in enumerate(predictions, 1):
            path = folder / f"{number:0{digits}}-{file_stem(PurePath(row.name).stem, 60)}.json"
            text = json.dumps(row.to_dict(), indent=1, ensure_ascii=False) + "\n"
            write_atomic(path, text, sync=False)  # there may be thousands
        title = f"{name} · {len(predictions)} image{'s' if len(predictions) > 1 else ''}"
        return [save_contact_sheet(predictions, out / SHEET, title), folder]


def save_csv(predictions: list[Prediction], path: Path, name: str = "path") -> Path:
    """Write a row per image: its path, then class and probability from the likeliest down.

    Args:
        predictions: of images, or of the frames of a video.
        path: of the file.
        name: of the first column: ``path``, or ``frame``.
    """
    make_folder(path.parent)
    # Rows may differ in length: the longest gives the columns.
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


def require_free(csv: Path | None, out: Path | None, overwrite: bool) -> None:
    """Refuse before any work what would be overwritten."""
    if csv and csv.is_dir():
        raise InvalidValue(f"--csv takes a file, and {csv} is a folder")
    taken = [csv] if csv else []
    taken += [out / SHEET, out / FOLDER] if out else []
    there = [path for path in taken if path.exists()]
    if there and not overwrite:
        raise InvalidValue(f"{there[0]} exists already: replace it with --overwrite")
