"""Run ``pocketeye eval`` of detectors and segmenters: how good they are."""

from __future__ import annotations

from pathlib import Path

from pocketeye.data import DetectionSet, SemanticSet, load_detection, load_maps
from pocketeye.devices import Device
from pocketeye.errors import InvalidValue
from pocketeye.models.task import Task
from pocketeye.predicting.dense import (
    DensePredictor,
    open_dense_predictor,
)
from pocketeye.predicting.evaluation.coco_results import read_results
from pocketeye.predicting.evaluation.detection import (
    evaluate_detection,
    judge_results,
)
from pocketeye.predicting.evaluation.detection_result import DetectionEval
from pocketeye.predicting.evaluation.semantic import (
    evaluate_semantic,
    judge_label_maps,
)
from pocketeye.predicting.evaluation.semantic_result import SemanticEval
from pocketeye.verb_result import Evaluation
from pocketeye.verbs.evaluate.dense_result import DetectionEvaluateResult, SemanticEvaluateResult
from pocketeye.verbs.evaluate.folder import folder_for


def evaluate_dense(
    task: Task,
    model: str | None,
    *,
    data: str,
    split: str | None,
    classes: Path | None,
    results: Path | None,
    device: Device,
    threads: int,
    out: Path | None,
) -> Evaluation:
    """See :func:`pocketeye.verbs.evaluate.verb.evaluate`."""
    # Exactly one of the two: both would leave open which is meant.
    if (model is None) == (results is None):
        raise InvalidValue(
            f"score either a model ({model}) or --results ({results}), not both" if model else
            "say what to judge: a run folder, an artefact, or --results of another program"
        )  # fmt: skip
    folder = folder_for(out, model)
    # the network first: a mistake there should not wait for the data
    predictor = None
    if model is not None:
        predictor = open_dense_predictor(model, device=device, threads=threads)
    if task.labels_pixels:
        names = predictor.description.classes if predictor else ()
        maps = _semantic(predictor, results, load_maps(data, split or "val", classes, names))
        return SemanticEvaluateResult(
            model=model,
            result=maps,
            files=tuple(maps.save(folder)) if folder else (),
            problems=_unique(maps.samples.problems, maps.problems),
        )
    if classes is not None:
        raise InvalidValue(f"--classes means nothing to {task.kind}: leave it out")
    samples = load_detection(data, split or "val", masks=task.outlines_objects)
    found = _detection(predictor, results, samples, task.outlines_objects)
    return DetectionEvaluateResult(
        model=model,
        result=found,
        files=tuple(found.save(folder)) if folder else (),
        problems=_unique(samples.problems, found.problems),
    )


def _detection(
    predictor: DensePredictor | None, results: Path | None, samples: DetectionSet, masks: bool
) -> DetectionEval:
    if predictor is not None:
        return evaluate_detection(predictor, samples)
    assert results is not None
    found = read_results(results, samples, masks=masks)
    return judge_results(samples, found, results.name, masks=masks)


def _semantic(
    predictor: DensePredictor | None, results: Path | None, samples: SemanticSet
) -> SemanticEval:
    if predictor is not None:
        return evaluate_semantic(predictor, samples)
    assert results is not None
    return judge_label_maps(results, samples)


def _unique(*problems: tuple[str, ...]) -> tuple[str, ...]:
    # Reading and judging may find the same problem.
    return tuple(dict.fromkeys(text for group in problems for text in group))
