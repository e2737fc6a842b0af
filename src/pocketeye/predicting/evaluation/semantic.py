"""Judge a segmenter on labelled images: mean IoU, per class, confusion, the worst of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pocketeye import progress
from pocketeye.data import SemanticSet, UnreadableImage, read_pixels
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.metrics.semantic import MeanIoU, mean_iou_of
from pocketeye.predicting.class_names import match_classes
from pocketeye.predicting.dense import DensePredictor
from pocketeye.predicting.evaluation.semantic_result import SemanticEval
from pocketeye.predicting.evaluation.worst_images import WorstMap

# Images drawn in worst.png: a page full.
_WORST = 6
Labeller = Callable[[int, np.ndarray], np.ndarray]
"""Labels ``(H, W)`` of the image of that number."""


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
