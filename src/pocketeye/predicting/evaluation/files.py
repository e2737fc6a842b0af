"""Write the files that every evaluation leaves in its folder: numbers, classes, confusion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.metrics import ConfusionTable
from pocketeye.outputs import held
from pocketeye.runs import EVALUATION, make_folder, write_json, write_table

MOST_IN_JSON = 100
"""Classes up to which ``eval.json`` holds the whole confusion matrix (``confusion.csv`` always does).

A matrix of 1000 classes would make a file of a million numbers.
"""


def matrix_for_json(table: ConfusionTable) -> list[list[int]] | None:
    """Return the confusion matrix as lists; None of one too large for a file that people open."""
    return table.counts.tolist() if len(table.names) <= MOST_IN_JSON else None


def save_evaluation(
    folder: Path,
    values: Mapping[str, Any],
    classes: Sequence[Mapping[str, Any]],
    confusion: ConfusionTable,
    draw: Callable[[], Iterable[Path]],
    *,
    unit: str = "n",
) -> list[Path]:
    """Write ``eval.json``, ``classes.csv``, ``confusion.csv`` and what ``draw`` writes; return all.

    The folder is made if needed; an earlier evaluation in it is replaced.

    Args:
        values: of ``eval.json``.
        classes: the rows of ``classes.csv``, of the same columns.
        draw: writes the images and further files, when the folder is this evaluation's alone.
        unit: column of ``confusion.csv`` that counts.

    Raises:
        InvalidValue: the folder cannot be made or written.
    """
    make_folder(folder)
    # Cells with something in them: most of a large matrix is 0.
    cells, names = np.argwhere(confusion.counts), confusion.names
    # A second evaluation may end at the same time: its files must not mix with these.
    with held(folder / EVALUATION, wait=True):
        return [
            write_json(folder / EVALUATION, values),
            write_table(
                folder / "classes.csv", tuple(classes[0]), (tuple(row.values()) for row in classes)
            ),
            write_table(
                folder / "confusion.csv",
                ("true", "predicted", unit),
                ((names[i], names[j], confusion.counts[i, j]) for i, j in cells),
            ),
            *draw(),
        ]
