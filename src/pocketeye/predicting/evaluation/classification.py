"""Judge a classifier on a labelled set."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pocketeye import progress
from pocketeye.data import ImageSet
from pocketeye.data.loaders.images import IGNORED, make_loader
from pocketeye.doubts import Doubt
from pocketeye.errors import InvalidValue
from pocketeye.metrics import ClassReport, ClassRow, Tally
from pocketeye.metrics.doubts import doubts_of_classes
from pocketeye.outputs import held
from pocketeye.predicting.class_names import match_classes
from pocketeye.predicting.evaluation import figures
from pocketeye.predicting.predictor import Predictor
from pocketeye.runs import EVALUATION, make_folder, write_atomic, write_table

MOST_IN_JSON = 100
"""Classes up to which ``eval.json`` holds the whole confusion matrix (``confusion.csv`` always does)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalResult:
    """Hold a report with the names of what was judged; shares are 0 to 1."""

    model: str
    data: str
    classes: tuple[str, ...]
    report: ClassReport
    seconds: float
    problems: tuple[str, ...] = ()

    @property
    def top1(self) -> float:
        return self.report.top1

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Tell why these numbers should not be taken at their word, if there is a reason."""
        return doubts_of_classes(self.report)

    @property
    def images_per_second(self) -> float:
        """Speed with reading and transforming included."""
        return self.report.n / self.seconds

    def worst(self, count: int = 5) -> list[ClassRow]:
        """Return the classes of the lowest recall, lowest first."""
        # Classes without a sample have no recall: they are neither good nor bad.
        seen = [row for row in self.report.rows if row.recall is not None]
        return sorted(seen, key=lambda row: row.recall or 0.0)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        report = self.report
        # A matrix of 1000 classes would make a file of a million numbers.
        small = len(self.classes) <= MOST_IN_JSON
        return {
            "model": self.model,
            "data": self.data,
            "n": report.n,
            "top1": report.top1,
            "top1_interval": list(report.interval),
            "top5": report.top5,
            "chance": asdict(report.chance) if report.chance else None,
            "doubts": [str(doubt) for doubt in self.doubts],
            "ece": report.ece,
            "calibration": [asdict(row) for row in report.bins],
            "seconds": round(self.seconds, 3),
            "classes": [asdict(row) for row in report.rows],
            "confused": [asdict(pair) for pair in report.confused(50)],
            "confusion": report.confusion.tolist() if small else None,
        }

    def save(self, folder: Path) -> list[Path]:
        """Write ``eval.json``, ``classes.csv``, ``confusion.csv`` and two images into ``folder``.

        The folder is made if needed; an earlier evaluation in it is replaced.

        Raises:
            InvalidValue: the folder cannot be made or written.
        """
        make_folder(folder)
        report = self.report
        title = f"{self.model} on {self.data}: top-1 {100 * self.top1:.2f} %"
        # Cells with something in them: most of a large matrix is 0.
        cells = np.argwhere(report.confusion)
        # A second evaluation may end at the same time: its files must not mix with these.
        with held(folder / EVALUATION, wait=True):
            return [
                write_atomic(folder / EVALUATION, json.dumps(self.to_dict(), indent=1) + "\n"),
                write_table(
                    folder / "classes.csv",
                    ("class", "n", "correct", "recall", "precision"),
                    ((r.name, r.n, r.correct, r.recall, r.precision) for r in report.rows),
                ),
                write_table(
                    folder / "confusion.csv",
                    ("true", "predicted", "n"),
                    ((self.classes[i], self.classes[j], report.confusion[i, j]) for i, j in cells),
                ),
                figures.save_confusion(report.table, folder / "confusion.png", title),
                figures.save_calibration(report, folder / "calibration.png", title),
            ]


def evaluate(
    predictor: Predictor, images: ImageSet, *, batch_size: int = 128, workers: int = 0
) -> EvalResult:
    """Run ``predictor`` over all of ``images``.

    Labels are matched by the names of the classes, so the data may hold fewer classes than the
    network knows, in another order.

    Damaged images of a set too large for memory are found here; they are left out and named in
    ``problems``.

    Raises:
        InvalidValue: a class the network does not know, another number of channels, or not one
            image that can be read.
    """
    info = predictor.info
    places = match_classes(images.classes, info.classes, images.source)
    if images.in_chans != info.in_chans:
        raise InvalidValue(
            f"{info.name} takes {info.in_chans} channels, the images of {images.source} have "
            f"{images.in_chans}"
        )
    loader = make_loader(
        images, info.transform(), batch_size,
        # Damage is told in the result, once, and not logged on the way.
        shuffle=False, seed=0, drop_last=False, workers=workers, on_damage="ignore",
    )  # fmt: skip
    start = time.perf_counter()
    tally, damaged, seen = Tally(info.classes), list[int](), 0
    with progress.task(f"evaluating {info.name}", len(images)) as bar:
        for x, y in loader:
            labels = y.numpy()
            # A damaged image has a place in the batch, but no label.
            good = np.flatnonzero(labels != IGNORED)
            damaged += [seen + int(i) for i in np.flatnonzero(labels == IGNORED)]
            seen += len(labels)
            if len(good):
                # From the data's numbers of classes to the network's.
                tally.add(predictor.logits(x[torch.from_numpy(good)]), places[labels[good]])
            bar.advance(len(x))
    if len(damaged) == len(images):
        raise InvalidValue(f"none of the {len(images)} images of {images.source} can be read")
    return EvalResult(
        model=info.name,
        data=images.source,
        classes=info.classes,
        report=tally.report(),
        seconds=time.perf_counter() - start,
        problems=tuple(f"{images.name(i)}: cannot be read" for i in damaged),
    )
