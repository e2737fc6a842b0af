"""Judge a detector on annotated images: average precision, F1, confusion, the worst of them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye import progress
from pocketeye.data import DetectionSet, ImageObjects, UnreadableImage
from pocketeye.doubts import Doubt
from pocketeye.errors import InvalidValue
from pocketeye.metrics import (
    NOTHING,
    ApReport,
    ConfusionTable,
    FoundObjects,
    MatchReport,
    TrueObjects,
    VocReport,
    coco_ap,
    found_objects,
    known,
    match_report,
    true_objects,
    voc_ap,
    with_background,
)
from pocketeye.metrics.doubts import doubts_of_objects
from pocketeye.models.task import DETECT, INSTANCE
from pocketeye.outputs import held
from pocketeye.predicting.class_names import match_classes
from pocketeye.predicting.dense import DensePredictor
from pocketeye.predicting.evaluation import figures, worst_images
from pocketeye.predicting.evaluation.coco_results import ImageId, image_ids, result_rows
from pocketeye.predicting.evaluation.pr_curve import save_pr
from pocketeye.predicting.evaluation.worst_images import WorstDetection, in_words
from pocketeye.provenance import environment
from pocketeye.results import Result
from pocketeye.runs import EVALUATION, make_folder, write_atomic, write_table

DETECTIONS = "detections.json"
MOST_IN_JSON = 100


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
    # Boxes alone mean a detector; masks come second, so there are two reports.
    def task(self) -> str:
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

    def worst_rows(self) -> list[WorstDetection]:
        """Return those images with pixels, truth and what was found at the score of the best F1."""
        rows = []
        for image_id in self.worst():
            number = self.numbers[image_id]
            try:
                image = np.asarray(self.samples.read(number).image)
            except UnreadableImage:
                continue  # of results made elsewhere: nobody has read the images yet
            rows.append(
                WorstDetection(
                    sentence=f"{self.samples.name(number)}: "
                    f"{in_words(self.matches.images[image_id])}",
                    image=image,
                    truth=self.truths[image_id],
                    found=self.found.get(image_id, NOTHING).above(self.matches.score),
                )
            )
        return rows

    def _f1_text(self) -> str:
        if not sum(self.reports[0].counts):
            return "no object is true"
        return f"F1 {self.matches.f1:.2f} at scores from {self.matches.score:.2f}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; shares that do not exist are None."""
        matches, small = self.matches, len(self.classes) < MOST_IN_JSON
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
            "confusion": matches.confusion.tolist() if small else None,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "environment": environment(),
        }  # fmt: skip

    def save(self, folder: Path) -> list[Path]:
        """Write ``eval.json``, tables, COCO results and images into ``folder``.

        The folder is made if needed; an earlier evaluation in it is replaced.

        Raises:
            InvalidValue: the folder cannot be made or written.
        """
        make_folder(folder)
        rows, confusion = [asdict(row) for row in self.rows()], self.confusion
        cells = np.argwhere(confusion.counts)
        names, title = confusion.names, f"{self.model} on {self.data}"
        # The found objects as COCO's server takes them: others can judge them again.
        results = result_rows(self.found, self.samples.category_ids)
        # A second evaluation may end at the same time: its files must not mix with these.
        with held(folder / EVALUATION, wait=True):
            return [
                write_atomic(folder / EVALUATION, json.dumps(self.to_dict(), indent=1) + "\n"),
                write_table(
                    folder / "classes.csv",
                    ("class", *list(rows[0])[1:]),
                    (tuple(row.values()) for row in rows),
                ),
                write_table(
                    folder / "confusion.csv",
                    ("true", "predicted", "n"),
                    ((names[i], names[j], confusion.counts[i, j]) for i, j in cells),
                ),
                save_pr(self.reports, self.classes, folder / "pr.png", title),
                figures.save_confusion(
                    confusion, folder / "confusion.png",
                    f"{title}: {self._f1_text()}",
                    "objects",
                ),
                *worst_images.save_worst_detections(
                    self.worst_rows(), self.classes, title, self.matches.score, folder / "worst.png"
                ),
                write_atomic(folder / DETECTIONS, json.dumps(results) + "\n"),
            ]  # fmt: skip


def evaluate_detection(predictor: DensePredictor, samples: DetectionSet) -> DetectionEval:
    """Run a detector over all images, one by one, and judge it.

    Classes are matched by name: the set may have fewer than the network, whose other finds are left
    out then. Images that cannot be read are left out and named.

    Raises:
        InvalidValue: a class the network does not know, or not one image that can be read.
    """
    description = predictor.description
    masks = description.task.outlines_objects
    places = match_classes(samples.classes, description.classes, samples.source)
    # From the network's names to the labels of the set.
    labels = {description.classes[place]: label for label, place in enumerate(places.tolist())}
    truths, found, problems = {}, {}, []
    seconds, foreign = 0.0, 0
    with progress.task(f"evaluating {predictor.name}", len(samples)) as bar:
        for index, image_id in enumerate(image_ids(samples)):
            try:
                sample = samples.read(index)
            except UnreadableImage as error:
                problems.append(f"{samples.name(index)}: {error}")
            else:
                image = np.asarray(sample.image)
                # Only the network is timed: reading and decoding differ from disk to disk.
                start = time.perf_counter()
                result = predictor.predict([image])[0]
                seconds += time.perf_counter() - start
                assert isinstance(result, Result)
                truths[image_id] = truth_of(sample.targets, masks=masks)
                found[image_id], others = found_in(result, labels, masks=masks)
                # What the set has no class for can be neither right nor wrong.
                foreign += others
            bar.advance()
    if not truths:
        raise InvalidValue(f"none of the {len(samples)} images of {samples.source} can be read")
    if foreign:
        problems.append(
            f"{foreign} found objects are of classes that {samples.source} does not have: not judged"
        )
    return judge(samples, truths, found, predictor.name, masks=masks, seconds=seconds,
                 problems=tuple(problems))  # fmt: skip


def judge_results(
    samples: DetectionSet, found: Mapping[ImageId, FoundObjects], name: str, *, masks: bool
) -> DetectionEval:
    """Judge what another program found
    (:func:`pocketeye.predicting.evaluation.coco_results.read_results`)."""
    truths = {
        image_id: truth_of(samples.targets(index), masks=masks)
        for index, image_id in enumerate(image_ids(samples))
    }
    return judge(samples, truths, found, name, masks=masks)


def judge(
    samples: DetectionSet,
    truths: Mapping[ImageId, TrueObjects],
    found: Mapping[ImageId, FoundObjects],
    name: str,
    *,
    masks: bool,
    seconds: float | None = None,
    problems: tuple[str, ...] = (),
) -> DetectionEval:
    """Compute all numbers of what was found."""
    classes = samples.classes
    reports = [coco_ap(truths, found, classes, "box")]
    if masks:
        reports.append(coco_ap(truths, found, classes, "mask"))
    return DetectionEval(
        model=name,
        samples=samples,
        reports=tuple(reports),
        voc=voc_ap(truths, found, len(classes)),
        matches=match_report(truths, found, len(classes)),
        truths=truths,
        found=found,
        numbers={image_id: number for number, image_id in enumerate(image_ids(samples))},
        seconds=seconds,
        problems=problems,
    )


def truth_of(sample: ImageObjects, *, masks: bool) -> TrueObjects:
    """Return the annotations of an image as metrics take them."""
    return true_objects(
        sample.boxes,
        sample.labels,
        crowd=sample.crowd,
        difficult=sample.difficult,
        areas=sample.areas,
        masks=sample.masks() if masks else None,
    )


def found_in(result: Result, labels: Mapping[str, int], *, masks: bool) -> tuple[FoundObjects, int]:
    """Return a result as metrics take it, and how many objects are of no class in ``labels``."""
    names = result.labels or ()
    # Names, not numbers: set and network may order their classes differently.
    kept = result.only([i for i, name in enumerate(names) if name in labels])
    found = found_objects(
        kept.boxes,
        [labels[name] for name in kept.labels or ()],
        kept.scores,
        kept.masks if masks else None,
    )
    return found, len(names) - len(found)
