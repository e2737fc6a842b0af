"""Hold what the evaluation of a detector found, and write it down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data import DetectionSet, UnreadableImage
from pocketeye.doubts import Doubt
from pocketeye.metrics import (
    NOTHING,
    ApReport,
    ConfusionTable,
    FoundObjects,
    MatchReport,
    TrueObjects,
    VocReport,
    known,
    with_background,
)
from pocketeye.metrics.doubts import doubts_of_objects
from pocketeye.models.task import DETECT, INSTANCE
from pocketeye.predicting.evaluation import figures, worst_images
from pocketeye.predicting.evaluation.coco_results import ImageId, save_results
from pocketeye.predicting.evaluation.files import matrix_for_json, save_evaluation
from pocketeye.predicting.evaluation.pr_curve import save_pr
from pocketeye.provenance import environment

DETECTIONS = "detections.json"


@dataclass(frozen=True, kw_only=True)
class DetectionRow:
    """Hold one class, shares 0 to 1; ``mask_ap`` … are None where only boxes were judged.

    Everything but ``n`` is None for a class without objects.
    """

    name: str
    n: int
    box_ap: float | None
    box_ap50: float | None
    box_ap75: float | None
    box_ar100: float | None
    mask_ap: float | None
    mask_ap50: float | None
    mask_ap75: float | None
    mask_ar100: float | None
    voc_2007: float | None
    voc_2010: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class DetectionEval:
    """Hold what was found in a set, and how good it is.

    Attributes:
        reports: of boxes, and of masks where they were judged.
        seconds: finding only, or None for results made elsewhere.
        numbers: of the images in ``samples``, by the id that ``truths`` knows them by.
    """

    model: str
    samples: DetectionSet = field(repr=False)
    reports: tuple[ApReport, ...]
    voc: VocReport
    matches: MatchReport
    truths: Mapping[ImageId, TrueObjects] = field(repr=False)
    found: Mapping[ImageId, FoundObjects] = field(repr=False)
    numbers: Mapping[ImageId, int] = field(repr=False)
    seconds: float | None = None
    problems: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        # Boxes alone mean a detector; masks come second, so there are two reports.
        return (DETECT if len(self.reports) == 1 else INSTANCE).name

    @property
    def data(self) -> str:
        """Return what the set is called in titles."""
        name, split = Path(self.samples.source).name, self.samples.split
        return f"{name} ({split})" if split else name

    @property
    def classes(self) -> tuple[str, ...]:
        return self.samples.classes

    @property
    def ap(self) -> float:
        """Return COCO's AP of masks where they were judged, else of boxes; nan without any object."""
        # The last report is that of masks, where they were judged.
        return self.reports[-1].values["ap"]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Tell why these numbers should not be taken at their word, if there is a reason."""
        return doubts_of_objects(self.truths, self.found, self.matches, self.classes)

    @property
    def images_per_second(self) -> float | None:
        return len(self.truths) / self.seconds if self.seconds else None

    @property
    def confusion(self) -> ConfusionTable:
        return ConfusionTable(names=with_background(self.classes), counts=self.matches.confusion)

    def rows(self) -> list[DetectionRow]:
        """Return one row per class."""
        return [self._row(label) for label in range(len(self.classes))]

    def _row(self, label: int) -> DetectionRow:
        values: dict[str, float | None] = {}
        for kind in ("box", "mask"):
            report = next((r for r in self.reports if r.kind == kind), None)
            values |= {
                f"{kind}_ap": known(report.ap(label)) if report else None,
                f"{kind}_ap50": known(report.ap(label, 0.5)) if report else None,
                f"{kind}_ap75": known(report.ap(label, 0.75)) if report else None,
                f"{kind}_ar100": known(report.ar(label)) if report else None,
            }
        return DetectionRow(
            name=self.classes[label],
            n=self.reports[0].counts[label],
            voc_2007=known(float(self.voc.ap_2007[label])),
            voc_2010=known(float(self.voc.ap_2010[label])),
            **values,
        )

    def worst(self, count: int = 8) -> list[ImageId]:
        """Return the images of the lowest F1, most mistakes first; only ones with a mistake."""
        of = self.matches.images

        def order(name: ImageId) -> tuple[float, int]:
            mistakes = of[name]
            return mistakes.f1, -(mistakes.missed + mistakes.superfluous + mistakes.wrong)

        # Only images with a mistake: a perfect one has nothing to show.
        return sorted((name for name in of if of[name].f1 < 1), key=order)[:count]

    def worst_rows(self) -> list[worst_images.WorstDetection]:
        """Return those images with pixels, truth and what was found at the score of the best F1."""
        rows = []
        for image_id in self.worst():
            number = self.numbers[image_id]
            try:
                image = np.asarray(self.samples.read(number).image)
            except UnreadableImage:
                continue  # of results made elsewhere: nobody has read the images yet
            rows.append(
                worst_images.WorstDetection(
                    sentence=f"{self.samples.name(number)}: "
                    f"{worst_images.in_words(self.matches.images[image_id])}",
                    image=image,
                    truth=self.truths[image_id],
                    found=self.found.get(image_id, NOTHING).above(self.matches.score),
                )
            )
        return rows

    def _f1_text(self) -> str:
        if not sum(self.reports[0].counts):
            return "no object is true"
        if not self.matches.f1:
            return "no object is found"
        return f"F1 {self.matches.f1:.2f} at scores from {self.matches.score:.2f}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; shares that do not exist are None."""
        matches = self.matches
        return {
            "task": self.task,
            "model": self.model,
            "data": self.samples.source,
            "split": self.samples.split,
            "n": len(self.truths),
            "objects": sum(self.reports[0].counts),
            "doubts": [str(doubt) for doubt in self.doubts],
            **{
                report.kind: {name: known(value) for name, value in report.values.items()}
                for report in self.reports
            },
            "voc": {"map_2007": known(self.voc.map_2007), "map_2010": known(self.voc.map_2010)},
            "best_f1": {
                name: known(getattr(matches, name))
                for name in ("f1", "score", "precision", "recall")
            },
            "classes": [asdict(row) for row in self.rows()],
            "worst": [
                {"image": self.samples.name(self.numbers[name]), **asdict(matches.images[name]),
                 "f1": matches.images[name].f1}
                for name in self.worst(50)
            ],
            "confused": [asdict(pair) for pair in self.confusion.confused(50)],
            "confusion": matrix_for_json(self.confusion),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "environment": environment(),
        }  # fmt: skip

    def save(self, folder: Path) -> list[Path]:
        """Write ``eval.json``, tables, COCO results and images into ``folder``.

        The folder is made if needed; an earlier evaluation in it is replaced.

        Raises:
            InvalidValue: the folder cannot be made or written.
        """
        title = f"{self.model} on {self.data}"
        rows = [{"class": row.name, **asdict(row)} for row in self.rows()]
        for row in rows:
            del row["name"]

        def draw() -> Iterator[Path]:
            yield save_pr(self.reports, self.classes, folder / "pr.png", title)
            yield figures.save_confusion(
                self.confusion, folder / "confusion.png", f"{title}: {self._f1_text()}", "objects"
            )
            yield from worst_images.save_worst_detections(
                self.worst_rows(), self.classes, title, self.matches.score, folder / "worst.png"
            )
            yield save_results(self.found, self.samples.category_ids, folder / DETECTIONS)

        return save_evaluation(folder, self.to_dict(), rows, self.confusion, draw)
