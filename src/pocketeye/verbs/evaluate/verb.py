"""Run ``pocketeye eval``: how good a classifier, a detector, a segmenter or a tracker is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pocketeye.data import DIGITS
from pocketeye.data.semantic.layouts import semantic_layout
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.reference import resolve
from pocketeye.models.task import DETECT, INSTANCE, SEMANTIC, TRACK, Task
from pocketeye.predicting.evaluation.coco_results import has_masks
from pocketeye.tracking.evaluation.vos_models import BASELINES
from pocketeye.verb_result import Evaluation
from pocketeye.verbs._options import refuse
from pocketeye.verbs.evaluate.classify import evaluate_classifier
from pocketeye.verbs.evaluate.dense import (
    evaluate_dense,
)
from pocketeye.verbs.evaluate.vos import evaluate_following


def evaluate(
    model: str | None = None,
    *,
    data: str | None = None,
    split: str | None = None,
    classes: Path | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    batch_size: int | None = None,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int | None = None,
    workers: int | None = None,
    prompt: Literal["mask", "click", "3-clicks", "box"] | None = None,
    protocol: Literal["semi", "offline", "online"] | None = None,
    corrected_frames: int | None = None,
    baselines: bool = False,
    results: Path | None = None,
    out: Path | None = None,
) -> Evaluation:
    """Judge a classifier, a detector or a segmenter on images, or a tracker on annotated videos.

    What is measured follows from what the network was trained for. A classifier: top-1 with its
    interval, top-5, per class, confusion, calibration. A detector: AP of COCO (boxes and masks, by
    size) and of VOC, F1, confusion. A segmenter: mean IoU, per class, confusion. A tracker: J, F and
    J&F of the DAVIS benchmark, per clip and in the mean.

    Args:
        model: a run folder, an exported artefact, a name or architecture.json with weights, or a
            tracker's name; or still or flow, which follow objects and learnt nothing. Without a model
            videos are followed by the tracker of `pocketeye track`.
        data: as in `pocketeye train TASK`; the digits by default for a classifier. Of trackers a folder
            laid out as DAVIS, YouTube-VOS, MOSE or SA-V.
        split: which part of the data: train or val (val by default); of trackers any list of clips,
            such as dev or 2016/val (all clips by default).
        classes: text file with the names of the network's classes, one a line, where the weights
            come without them; of segmenters what the masks mean: a yaml, or camvid11, cityscapes.
        checkpoint: weights for a name or an architecture.json.
        pretrained: take the published weights of a classifier's name: from their pip package, or
            fetched.
        input_size: of classifiers: another side of the input in pixels than the network's.
        batch_size: of classifiers: images at once, by default 128 (an artefact has its own).
        device: where a torch network runs.
        threads: threads of an artefact's runtime, by default 1.
        workers: of classifiers: processes that prepare images, by default none beside this one.
        prompt: of trackers: how objects are shown in their first frame, by default as a mask.
        protocol: of trackers: semi, the default, is DAVIS's, one pass and no help. With offline one
            clicks after each pass in the worst frame, with online wherever the IoU falls below 0.75.
        corrected_frames: of offline and online: frames in which an object is shown or corrected at
            most, by default 8.
        baselines: of trackers: score the first mask kept still, and carried by optical flow, as well.
        results: in place of a model what was found elsewhere: a json of COCO results, a folder of
            label images, or of masks of videos, SEQ/00000.png.
        out: folder for eval.json, classes.csv, confusion.csv and images: confusion.png,
            calibration.png (classifiers), pr.png and worst.png (detectors and segmenters); of trackers
            for vos.json, vos.csv and worst.png. The folder of the run or artefact by default, and
            nothing is written for a name.

    Raises:
        InvalidValue: no weights, or data of other classes than the network knows; results that are
            missing or of another size; an option that means nothing to this kind of network.
        MissingFile: no such network or data.
        MissingExtra: flow without OpenCV.
    """
    # What is judged decides which options mean anything.
    task = _task_of(model, data, results)
    follows = {"prompt": prompt, "protocol": protocol, "baselines": baselines,
               "corrected_frames": corrected_frames}  # fmt: skip
    classifies = {"pretrained": pretrained, "input_size": input_size, "batch_size": batch_size,
                  "workers": workers}  # fmt: skip
    if task.takes_prompts:
        refuse(task.kind, classes=classes, threads=threads, **classifies)
        return evaluate_following(
            model, data=_required(data, task), split=split, prompt=prompt or "mask",
            protocol=protocol or "semi", max_frames=corrected_frames, checkpoint=checkpoint,
            baselines=baselines, results=results, device=device, out=out,
        )  # fmt: skip
    refuse(task.kind, **follows)
    if task.is_dense:
        refuse(task.kind, checkpoint=checkpoint, **classifies)
        return evaluate_dense(
            task, model, data=_required(data, task), split=split, classes=classes, results=results,
            device=device, threads=threads or 1, out=out,
        )  # fmt: skip
    assert model is not None  # results of a classifier are no task's
    refuse(task.kind, results=results)
    return evaluate_classifier(
        model, data=data or DIGITS, split=split or "val", classes=classes, checkpoint=checkpoint,
        pretrained=pretrained, input_size=input_size, batch_size=batch_size or 128, device=device,
        threads=threads or 1, workers=workers or 0, out=out,
    )  # fmt: skip


def _task_of(model: str | None, data: str | None, results: Path | None) -> Task:
    """Find out what is judged: the model knows; without one the results and the data tell.

    Raises:
        InvalidValue: nothing was given that could be judged. InvalidValue, MissingFile: no such model.
    """
    # Names of baselines are no files or networks.
    if model in BASELINES:
        return TRACK
    if model is not None:
        return resolve(model, others=BASELINES).task
    if results is not None and not results.exists():
        raise MissingFile(f"no results at {results}")
    if results is not None and results.is_file():
        # Outlines make instances of boxes.
        return INSTANCE if has_masks(results) else DETECT
    if data is not None and Path(data).is_dir():
        # Folders alone: label images lie beside images, videos in folders of frames.
        labels = semantic_layout(Path(data)) is not None
        if results is not None:
            return SEMANTIC if labels else TRACK
        if not labels and any(Path(data).glob("JPEGImages*")):
            return TRACK
    if results is not None:
        raise MissingFile(
            f"no data to judge {results} on: give the folder of the annotated images or videos with "
            "--data"
        )
    raise InvalidValue(
        "say what to judge: a run folder, an artefact, a name with weights, or --results of another "
        "program"
    )


def _required(data: str | None, task: Task) -> str:
    """Return the data that the user gave; only classifiers do without."""
    if data is None:
        raise InvalidValue(f"{task.kind} is judged on {task.data}: give their folder with --data")
    return data
