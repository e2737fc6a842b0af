"""How good a classifier is on a labelled set."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye import progress
from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue
from pocketeye.metrics import ClassReport, ClassRow, classification_report
from pocketeye.runs import write_atomic
from pocketeye.training import pictures
from pocketeye.training.data import make_loader
from pocketeye.training.predictor import Predictor


@dataclass(frozen=True, kw_only=True, eq=False)
class EvalResult:
    """A report with the names of what was judged; shares are 0 to 1."""

    model: str
    data: str
    classes: tuple[str, ...]
    report: ClassReport
    seconds: float

    @property
    def top1(self) -> float:
        return self.report.top1

    @property
    def images_per_second(self) -> float:
        """Reading and transforming included."""
        return self.report.n / self.seconds

    def worst(self, count: int = 5) -> list[ClassRow]:
        """Classes of the lowest recall, lowest first."""
        seen = [row for row in self.report.rows if row.recall is not None]
        return sorted(seen, key=lambda row: row.recall or 0.0)[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        report = self.report
        return {
            "model": self.model,
            "data": self.data,
            "n": report.n,
            "top1": report.top1,
            "top1_interval": list(report.interval),
            "top5": report.top5,
            "ece": report.ece,
            "seconds": round(self.seconds, 3),
            "classes": [asdict(row) for row in report.rows],
            "confusion": report.confusion.tolist(),
        }

    def save(self, folder: Path) -> list[Path]:
        """Write ``eval.json`` and ``confusion.png`` into ``folder`` (made if needed)."""
        folder.mkdir(parents=True, exist_ok=True)
        table = write_atomic(folder / "eval.json", json.dumps(self.to_dict(), indent=1) + "\n")
        title = f"{self.model} on {self.data}: top-1 {100 * self.top1:.2f} %"
        picture = folder / "confusion.png"
        pictures.save_confusion(self.report.confusion, self.classes, picture, title)
        return [table, picture]


def evaluate(
    predictor: Predictor, images: ImageSet, *, batch_size: int = 128, workers: int = 0
) -> EvalResult:
    """Run ``predictor`` over all of ``images``.

    Labels are matched by the names of the classes, so the data may hold fewer classes than the
    network knows, in another order.

    Raises:
        InvalidValue: a class the network does not know, or another number of channels.
    """
    info = predictor.info
    labels = _labels_for(images, info.classes)
    if images.in_chans != info.in_chans:
        raise InvalidValue(
            f"{info.name} takes {info.in_chans} channels, the pictures of {images.source} have "
            f"{images.in_chans}"
        )
    loader = make_loader(
        images, info.transform(), batch_size,
        shuffle=False, seed=0, drop_last=False, workers=workers,
    )  # fmt: skip
    start = time.perf_counter()
    parts = []
    with progress.task(f"evaluating {info.name}", len(images)) as bar:
        for x, _ in loader:
            parts.append(predictor.logits(x))
            bar.advance(len(x))
    seconds = time.perf_counter() - start
    return EvalResult(
        model=info.name,
        data=images.source,
        classes=info.classes,
        report=classification_report(np.concatenate(parts), labels, info.classes),
        seconds=seconds,
    )


def _labels_for(images: ImageSet, classes: tuple[str, ...]) -> np.ndarray:
    """Labels of ``images`` in the numbering of ``classes``."""
    foreign = [name for name in images.classes if name not in classes]
    if foreign:
        shown = ", ".join(foreign[:3]) + (" …" if len(foreign) > 3 else "")
        raise InvalidValue(
            f"{images.source} has {len(foreign)} classes the network was not trained on ({shown}); "
            f"it knows {len(classes)}: {', '.join(classes[:3])} …"
        )
    places = np.asarray([classes.index(name) for name in images.classes], np.int64)
    return np.asarray(places[images.labels])
