"""``pocketeye eval``: how good a classifier, a detector, a segmenter or a tracker is."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rich.markup import escape

from pocketeye.data import load_images
from pocketeye.data.classification.images import DIGITS
from pocketeye.devices import Device
from pocketeye.errors import InvalidValue
from pocketeye.models.bundled import located
from pocketeye.models.dense.described import DenseDescription, is_dense
from pocketeye.predicting.evaluation.classification import EvalResult
from pocketeye.predicting.evaluation.classification import evaluate as run_evaluation
from pocketeye.predicting.predictor import open_predictor
from pocketeye.results.figures import short
from pocketeye.runtimes import MANIFEST
from pocketeye.text import human_percent, human_seconds, problem_lines, text_table
from pocketeye.verbs._options import refuse
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs.evaluate.dense import (
    DetectionEvaluateResult,
    SemanticEvaluateResult,
    evaluate_dense,
)
from pocketeye.verbs.evaluate.vos import VosEvaluateResult, evaluate_following


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(VerbResult):
    """The report of one network on one set."""

    model: str
    result: EvalResult
    files: tuple[Path, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        files, problems = list(self.files), list(self.problems)
        return {**self.result.to_dict(), "files": files, "problems": problems}

    def lines(self) -> list[str]:
        result, report = self.result, self.result.report
        low, high = (100 * share for share in report.interval)
        top5 = "" if report.top5 is None else f" · top-5 {100 * report.top5:.2f} %"
        lines = [
            f"top-1 [bold]{100 * report.top1:.2f} %[/bold] (95 %: {low:.1f} to {high:.1f}){top5} · "
            f"calibration error {100 * report.ece:.1f} %",
            f"{escape(result.model)} on {report.n} images of {escape(result.data)} · "
            f"{human_seconds(result.seconds)}, {result.images_per_second:.0f} images/s",
            "",
        ]
        worst = [
            (
                short(row.name, 30),
                str(row.n),
                human_percent(row.recall),
                human_percent(row.precision),
            )
            for row in result.worst(8)
        ]
        header = ("hardest classes", "n", "recall", "precision")
        lines += text_table(header, worst, right=(1, 2, 3))
        if confused := report.confused(5):
            pairs = [
                (short(p.true, 30), short(p.predicted, 30), f"{p.n} of {p.of}") for p in confused
            ]
            lines += ["", *text_table(("most confused", "taken for", "n"), pairs, right=(2,))]
        return [*lines, *problem_lines(self.problems)]

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        model, data = shlex.quote(self.model), shlex.quote(self.result.data)
        path = Path(self.model)
        if (path / MANIFEST).is_file():
            return [f"pocketeye bench {model}"]
        return [f"pocketeye export {model} --data {data}"] if path.is_dir() else []


def evaluate(
    model: str | None = None,
    *,
    task: Literal["classify", "detect", "instance", "semantic", "vos"] | None = None,
    data: str = DIGITS,
    split: str | None = None,
    classes: Path | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    batch_size: int = 128,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int = 1,
    workers: int = 0,
    prompt: Literal["mask", "click", "3-clicks", "box"] = "mask",
    protocol: Literal["semi", "offline", "online"] = "semi",
    corrected_frames: int | None = None,
    baselines: bool = False,
    results: Path | None = None,
    out: Path | None = None,
) -> EvaluateResult | DetectionEvaluateResult | SemanticEvaluateResult | VosEvaluateResult:
    """Judge a classifier, a detector or a segmenter on images, or a tracker on annotated videos.

    A classifier: top-1 with its interval, top-5, per class, confusion, calibration. A detector: AP of
    COCO (boxes and masks, by size) and of VOC, F1, confusion. A segmenter: mean IoU, per class,
    confusion. A tracker: J, F and J&F of the DAVIS benchmark, per clip and in the mean.

    Args:
        model: a run folder, an exported artefact, or a name or architecture.json with weights. Of
            vos a tracker's name, the folder of its run, or still or flow, which learnt nothing; by
            default the tracker of `pocketeye track`.
        task: classify, detect (boxes), instance (boxes and masks), semantic (a class for every pixel)
            or vos (video object segmentation: objects shown once, then followed). By default what the
            run was trained for.
        data: as in `pocketeye train`; of vos a folder laid out as DAVIS, YouTube-VOS, MOSE or SA-V.
        split: which part of the data: train or val (val by default); of vos any list of clips, such
            as dev or 2016/val (all clips by default).
        classes: text file with the names of the network's classes, one a line, where the weights
            come without them; of semantic what the masks mean: a yaml, or camvid11, cityscapes.
        checkpoint: weights for a name or an architecture.json.
        pretrained: fetch the published weights of a name.
        input_size: another side of the input in pixels than the network's.
        batch_size: of classify: images at once (an artefact has its own).
        device: where a torch network runs.
        threads: threads of an artefact's runtime.
        workers: processes that prepare images.
        prompt: of vos: how objects are shown in their first frame.
        protocol: of vos: semi is DAVIS's, one pass and no help. With offline one clicks after each
            pass in the worst frame, with online wherever the IoU falls below 0.75.
        corrected_frames: of offline and online: frames in which an object is shown or corrected at
            most, by default 8.
        baselines: of vos: score the first mask kept still, and carried by optical flow, as well.
        results: in place of a model what was found elsewhere. Of vos a folder of masks,
            SEQ/00000.png; of detect and instance a json of COCO results; of semantic a folder of
            label images.
        out: folder for eval.json, classes.csv, confusion.csv and the images confusion.png,
            calibration.png (classify), pr.png and worst.png (the dense tasks); of vos for vos.json,
            vos.csv and worst.png. The folder of the run or artefact by default, and nothing is written
            for a name.

    Raises:
        InvalidValue: no weights, or data of other classes than the network knows; results that are
            missing or of another size; an option of the other task.
        MissingFile: no such network or data.
        MissingExtra: flow without OpenCV.
    """
    task = task or _task_of(model)
    if task == "vos":
        refuse(task, classes=classes, pretrained=pretrained, input_size=input_size,
               batch_size=batch_size != 128, threads=threads != 1, workers=workers)  # fmt: skip
        if data == DIGITS:
            raise InvalidValue("--task vos needs annotated videos: give their folder with --data")
        return evaluate_following(
            model, data=data, split=split, prompt=prompt, protocol=protocol,
            max_frames=corrected_frames, checkpoint=checkpoint, baselines=baselines,
            results=results, device=device, out=out,
        )  # fmt: skip
    refuse(task, prompt=prompt != "mask", protocol=protocol != "semi", baselines=baselines,
           corrected_frames=corrected_frames is not None)  # fmt: skip
    if task != "classify":
        refuse(task, checkpoint=checkpoint, pretrained=pretrained, input_size=input_size,
               batch_size=batch_size != 128, workers=workers)  # fmt: skip
        if data == DIGITS:
            raise InvalidValue(
                f"--task {task} needs annotated images: give their folder with --data"
            )
        return evaluate_dense(
            task, model, data=data, split=split, classes=classes, results=results, device=device,
            threads=threads, out=out,
        )  # fmt: skip
    refuse(task, results=results)
    if model is None:
        raise InvalidValue("say what to judge: a run folder, an artefact, or a name with weights")
    return evaluate_classifier(
        model, data=data, split=split or "val", classes=classes, checkpoint=checkpoint,
        pretrained=pretrained, input_size=input_size, batch_size=batch_size, device=device,
        threads=threads, workers=workers, out=out,
    )  # fmt: skip


def evaluate_classifier(
    model: str,
    *,
    data: str = DIGITS,
    split: str = "val",
    classes: Path | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    batch_size: int = 128,
    device: Device = "auto",
    threads: int = 1,
    workers: int = 0,
    out: Path | None = None,
) -> EvaluateResult:
    """:func:`evaluate` with ``--task classify``."""
    part = cast(Literal["train", "val"], split)  # load_images refuses others
    # the network first: a mistake there should not wait for the data
    predictor = None
    if classes is not None or (Path(model).is_dir() and checkpoint is None):
        predictor = open_predictor(
            model, names=classes, checkpoint=checkpoint, pretrained=pretrained,
            input_size=input_size, device=device, threads=threads,
        )  # fmt: skip
    images = load_images(data, part, in_chans=predictor.info.in_chans if predictor else None)
    if predictor is None or (
        classes is None and _lacks_names(predictor.info.classes, images.classes)
    ):
        predictor = open_predictor(
            model, classes=images.classes, checkpoint=checkpoint, pretrained=pretrained,
            input_size=input_size, device=device, threads=threads,
        )  # fmt: skip
        if predictor.info.in_chans != images.in_chans:
            images = load_images(data, part, in_chans=predictor.info.in_chans)
    result = run_evaluation(predictor, images, batch_size=batch_size, workers=workers)
    folder = out or (Path(model) if Path(model).is_dir() else None)
    return EvaluateResult(
        model=model,
        result=result,
        files=tuple(result.save(folder)) if folder else (),
        problems=(*images.problems, *result.problems),
    )


def _task_of(model: str | None) -> Literal["classify", "detect", "instance", "semantic"]:
    """What the run or artefact in a folder is for."""
    folder = None if model is None else Path(located(model))
    if folder is None or not is_dense(folder):
        return "classify"
    return DenseDescription.load(folder).task


def _lacks_names(classes: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether an artefact knows its classes by number only."""
    numbers = tuple(str(index) for index in range(len(classes)))
    return classes == numbers != wanted and len(classes) == len(wanted)
