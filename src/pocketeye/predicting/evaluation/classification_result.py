"""Hold what the evaluation of a classifier found, and write it down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye.doubts import Doubt
from pocketeye.metrics import ClassReport, ClassRow
from pocketeye.metrics.doubts import doubts_of_classes
from pocketeye.predicting.evaluation import figures
from pocketeye.predicting.evaluation.files import matrix_for_json, save_evaluation


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
            "confusion": matrix_for_json(report.table),
        }

    def save(self, folder: Path) -> list[Path]:
        """Write ``eval.json``, ``classes.csv``, ``confusion.csv`` and two images into ``folder``.

        The folder is made if needed; an earlier evaluation in it is replaced.

        Raises:
            InvalidValue: the folder cannot be made or written.
        """
        report = self.report
        title = f"{self.model} on {self.data}: top-1 {100 * self.top1:.2f} %"
        rows = [
            {"class": r.name, "n": r.n, "correct": r.correct, "recall": r.recall,
             "precision": r.precision}
            for r in report.rows
        ]  # fmt: skip

        def draw() -> Iterator[Path]:
            yield figures.save_confusion(report.table, folder / "confusion.png", title)
            yield figures.save_calibration(report, folder / "calibration.png", title)

        return save_evaluation(folder, self.to_dict(), rows, report.table, draw)
