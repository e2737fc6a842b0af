"""Hold what the evaluation of a segmenter found, and write it down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pocketeye.data import SemanticSet
from pocketeye.doubts import Doubt
from pocketeye.metrics import ConfusionTable, known
from pocketeye.metrics.doubts import doubts_of_pixels
from pocketeye.metrics.semantic import SemanticReport
from pocketeye.models.task import SEMANTIC
from pocketeye.predicting.evaluation import figures, worst_images
from pocketeye.predicting.evaluation.files import matrix_for_json, save_evaluation
from pocketeye.provenance import environment


@dataclass(frozen=True, kw_only=True, eq=False)
class SemanticEval:
    """Hold what a segmenter says of a set, and how good it is.

    Attributes:
        classes: of the network.
        images: mean IoU of each image over the classes in it, by name; worst first.
        worst: those of the lowest, with their pixels.
        seconds: finding only, or None for results made elsewhere.
    """

    model: str
    samples: SemanticSet = field(repr=False)
    classes: tuple[str, ...]
    report: SemanticReport
    images: dict[str, float] = field(repr=False)
    worst: tuple[worst_images.WorstMap, ...] = field(repr=False)
    seconds: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def data(self) -> str:
        """Return what the set is called in titles."""
        # The folder's name: the whole path would fill the title.
        name, split = Path(self.samples.source).name, self.samples.split
        return f"{name} ({split})" if split else name

    @property
    def miou(self) -> float:
        return self.report.miou

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Tell why these numbers should not be taken at their word, if there is a reason."""
        return doubts_of_pixels(self.report)

    @property
    def images_per_second(self) -> float | None:
        return len(self.images) / self.seconds if self.seconds else None

    @property
    def confusion(self) -> ConfusionTable:
        return ConfusionTable(names=self.classes, counts=self.report.confusion)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; shares that do not exist are None."""
        report = self.report
        return {
            "task": SEMANTIC.name,
            "model": self.model,
            "data": self.samples.source,
            "split": self.samples.split,
            "n": len(self.images),
            "miou": known(report.miou),
            "macc": known(report.macc),
            "pixel_accuracy": known(report.accuracy),
            "chance": asdict(report.chance) if report.chance else None,
            "doubts": [str(doubt) for doubt in self.doubts],
            "classes": [asdict(row) for row in report.rows],
            "worst": [{"image": k, "miou": v} for k, v in list(self.images.items())[:50]],
            "confused": [asdict(pair) for pair in self.confusion.confused(50)],
            "confusion": matrix_for_json(self.confusion),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "environment": environment(),
        }

    def save(self, folder: Path) -> list[Path]:
        """Write ``eval.json``, tables and images into ``folder``.

        The folder is made if needed; an earlier evaluation in it is replaced.

        Raises:
            InvalidValue: the folder cannot be made or written.
        """
        report, title = self.report, f"{self.model} on {self.data}"
        rows = [
            {"class": row.name, "pixels": row.pixels, "iou": row.iou, "accuracy": row.accuracy}
            for row in report.rows
        ]

        def draw() -> Iterator[Path]:
            headline = f"{title}: mean IoU {100 * report.miou:.1f} %"
            yield figures.save_confusion(
                self.confusion, folder / "confusion.png", headline, "pixels"
            )
            yield from worst_images.save_worst_maps(
                self.worst, self.classes, title, folder / "worst.png"
            )

        return save_evaluation(folder, self.to_dict(), rows, self.confusion, draw, unit="pixels")
