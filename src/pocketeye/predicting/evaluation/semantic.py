"""Judge a segmenter on labelled images: mean IoU, per class, confusion, the worst of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye import progress
from pocketeye.data import SemanticSet, UnreadableImage, read_pixels
from pocketeye.doubts import Doubt
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.metrics import ConfusionTable, known
from pocketeye.metrics.doubts import doubts_of_pixels
from pocketeye.metrics.semantic import MeanIoU, SemanticReport, mean_iou_of
from pocketeye.models.task import SEMANTIC
from pocketeye.outputs import held
from pocketeye.predicting.class_names import match_classes
from pocketeye.predicting.dense import DensePredictor
from pocketeye.predicting.evaluation import figures, worst_images
from pocketeye.predicting.evaluation.worst_images import WorstMap
from pocketeye.provenance import environment
from pocketeye.runs import EVALUATION, make_folder, write_atomic, write_table

# As in classification: a larger matrix goes to confusion.csv alone.
_MOST_IN_JSON, _WORST = 100, 6
Labeller = Callable[[int, np.ndarray], np.ndarray]
"""Labels ``(H, W)`` of the image of that number."""


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
    worst: tuple[WorstMap, ...] = field(repr=False)
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
            "confusion": (
                report.confusion.tolist() if len(self.classes) <= _MOST_IN_JSON else None
            ),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "environment": environment(),
        }

    def save(self, folder: Path) -> list[Path]:
        """Write ``eval.json``, tables and images into ``folder``.

        The folder is made if needed; an earlier evaluation in it is replaced.

        Raises:
            InvalidValue: the folder cannot be made or written.
        """
        make_folder(folder)
        report, title = self.report, f"{self.model} on {self.data}"
        cells = np.argwhere(report.confusion)
        # A second evaluation may end at the same time: its files must not mix with these.
        with held(folder / EVALUATION, wait=True):
            return [
                write_atomic(folder / EVALUATION, json.dumps(self.to_dict(), indent=1) + "\n"),
                write_table(
                    folder / "classes.csv",
                    ("class", "pixels", "iou", "accuracy"),
                    ((row.name, row.pixels, row.iou, row.accuracy) for row in report.rows),
                ),
                write_table(
                    folder / "confusion.csv",
                    ("true", "predicted", "pixels"),
                    ((self.classes[i], self.classes[j], report.confusion[i, j]) for i, j in cells),
                ),
                figures.save_confusion(
                    self.confusion, folder / "confusion.png",
                    f"{title}: mean IoU {100 * report.miou:.1f} %", "pixels",
                ),
                *worst_images.save_worst_maps(
                    self.worst, self.classes, title, folder / "worst.png"
                ),
            ]  # fmt: skip


def evaluate_semantic(predictor: DensePredictor, samples: SemanticSet) -> SemanticEval:
    """Run a segmenter over all images, one by one, and judge it at their own size.

    Classes are matched by name. Images that cannot be read are left out and named.

    Raises:
        InvalidValue: a class the network does not know, or not one image that can be read.
    """
    classes = predictor.description.classes
    places = match_classes(samples.classes, classes, samples.source)

    def label(_: int, image: np.ndarray) -> np.ndarray:
        found = predictor.predict([image])[0]
        assert isinstance(found, np.ndarray)
        return found

    return _judged(label, samples, predictor.name, classes, places, timed=True)


def judge_label_maps(folder: Path, samples: SemanticSet) -> SemanticEval:
    """Judge label images made elsewhere: ``folder/STEM.png`` for every image, values as labels.

    Raises:
        MissingFile: no such folder, or an image without labels.
        InvalidValue: labels that cannot be read, of another size, or of no class.
    """
    if not folder.is_dir():
        raise MissingFile(f"no results at {folder} (give a folder of label images)")
    classes = samples.classes

    def label(index: int, image: np.ndarray) -> np.ndarray:
        return _read_labels(folder, samples.name(index), image.shape[:2], len(classes))

    return _judged(
        label, samples, folder.resolve().name, classes, np.arange(len(classes)), timed=False
    )


def _read_labels(folder: Path, name: str, size: tuple[int, ...], count: int) -> np.ndarray:
    path = folder / f"{Path(name).stem}.png"
    if not path.is_file():
        raise MissingFile(f"{folder} has no {path.name} for the image {name}")
    try:
        _, labels = read_pixels(path)
    except UnreadableImage as error:
        raise InvalidValue(f"{path} cannot be read: {error}") from error
    if labels.shape != size:
        raise InvalidValue(
            f"{path} should be a label image of {size[1]}x{size[0]}, and is of "
            f"{'x'.join(str(side) for side in (labels.shape[1], labels.shape[0], *labels.shape[2:]))}"
        )
    if labels.max() >= count:
        raise InvalidValue(f"{path} has label {labels.max()}, and there are {count} classes")
    return labels


def _judged(
    label: Labeller,
    samples: SemanticSet,
    name: str,
    classes: tuple[str, ...],
    places: np.ndarray,
    *,
    timed: bool,
) -> SemanticEval:
    metric, seconds = MeanIoU(classes, samples.ignore_index), 0.0
    # Labels of the set become those of the network; all others are ignored.
    table = np.full(256, samples.ignore_index)
    table[: len(places)] = places
    images: dict[str, float] = {}
    worst: list[WorstMap] = []
    problems: list[str] = []
    with progress.task(f"evaluating {name}", len(samples)) as bar:
        for index in range(len(samples)):
            bar.advance()
            try:
                image, labels = _read(samples, index)
            except UnreadableImage as error:
                problems.append(f"{samples.name(index)}: {error}")
                continue
            # Only the network is timed.
            start = time.perf_counter()
            found = label(index, image)
            seconds += time.perf_counter() - start
            truth = table[labels]
            counts = metric.update(found, truth)
            # An image of nothing but ignored pixels has no IoU.
            if not counts.sum():
                problems.append(f"{samples.name(index)}: not one pixel with a class")
                continue
            miou = mean_iou_of(counts)
            images[samples.name(index)] = miou
            if miou < 1:
                right = float(np.trace(counts) / counts.sum())
                one = WorstMap(
                    name=samples.name(index), miou=miou, accuracy=right, image=image,
                    truth=truth, found=found,
                )  # fmt: skip
                # Only the worst are kept with their pixels: a whole set does not fit into memory.
                worst = sorted([*worst, one], key=lambda row: row.miou)[:_WORST]
    if not images:
        raise InvalidValue(f"none of the {len(samples)} images of {samples.source} can be judged")
    return SemanticEval(
        model=name,
        samples=samples,
        classes=classes,
        report=metric.report(),
        # Worst first, so that a reader of the json finds them.
        images=dict(sorted(images.items(), key=lambda item: item[1])),
        worst=tuple(worst),
        seconds=seconds if timed else None,
        problems=tuple(problems),
    )


def _read(samples: SemanticSet, index: int) -> tuple[np.ndarray, np.ndarray]:
    sample = samples.read(index)
    return np.asarray(sample.image), sample.targets
