"""Judge a detector on annotated images: average precision, F1, confusion, the worst of them."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from pocketeye import progress
from pocketeye.data import DetectionSet, ImageObjects, UnreadableImage
from pocketeye.errors import InvalidValue
from pocketeye.metrics import (
    FoundObjects,
    TrueObjects,
    coco_ap,
    found_objects,
    match_report,
    true_objects,
    voc_ap,
)
from pocketeye.predicting.class_names import match_classes
from pocketeye.predicting.dense import DensePredictor
from pocketeye.predicting.evaluation.coco_results import ImageId, image_ids
from pocketeye.predicting.evaluation.detection_result import DetectionEval
from pocketeye.results import Result


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
