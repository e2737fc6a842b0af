"""Run ``pocketeye eval`` of detectors and segmenters: how good they are."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.data import DetectionSet, SemanticSet, load_detection, load_maps
from pocketeye.devices import Device
from pocketeye.doubts import doubt_lines
from pocketeye.errors import InvalidValue
from pocketeye.metrics import MatchReport
from pocketeye.metrics.semantic import SemanticReport
from pocketeye.models.reference import ArtifactFolder, own_folder, resolve
from pocketeye.models.task import Task
from pocketeye.outputs import require_folder
from pocketeye.predicting.dense import (
    DensePredictor,
    open_dense_predictor,
)
from pocketeye.predicting.evaluation.coco_results import read_results
from pocketeye.predicting.evaluation.detection import (
    DetectionEval,
    evaluate_detection,
    judge_results,
)
from pocketeye.predicting.evaluation.semantic import (
    SemanticEval,
    evaluate_semantic,
    judge_label_maps,
)
from pocketeye.results.figures import short
from pocketeye.text import human_percent, human_seconds, problem_lines, text_table
from pocketeye.verb_result import Evaluation

_SHOWN = 12  # of the hardest classes


@dataclass(frozen=True, kw_only=True)
class DetectionEvaluateResult(Evaluation):
    """Average precision of a detector on one set."""

    model: str | None
    result: DetectionEval
    files: tuple[Path, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        files, problems = list(self.files), list(self.problems)
        return {**self.result.to_dict(), "files": files, "problems": problems}

    def lines(self) -> list[str]:
        result = self.result
        lines = [
            line for report in result.reports for line in _ap_lines(report.kind, report.values)
        ]
        lines += [
            f"VOC mAP {human_percent(result.voc.map_2007)} (2007, 11 points) · "
            f"{human_percent(result.voc.map_2010)} (2010, area)",
            _best_f1(result.matches, sum(result.reports[0].counts)),
            _judged(result.model, len(result.truths), "images", result.data, result.seconds),
            *doubt_lines(result.doubts),
            "",
        ]
        kind = "mask" if len(result.reports) > 1 else "box"
        # The hardest come first: averages hide them.
        rows = sorted(result.rows(), key=lambda row: getattr(row, f"{kind}_ap") or -1.0)
        columns = ("box_ap", "box_ap50", *(("mask_ap", "mask_ap50") if kind == "mask" else ()))
        cells = [
            (short(row.name, 30), str(row.n), *(human_percent(getattr(row, c)) for c in columns),
             human_percent(row.voc_2007))
            # Classes without an object have no AP.
            for row in rows if row.n
        ]  # fmt: skip
        heads = [column.replace("_ap", " AP") for column in columns]
        header = ("hardest classes", "n", *heads, "VOC 2007")
        lines += _table(header, cells) if cells else []
        return [*lines, *problem_lines(self.problems)]

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        if self.model is None:
            return []
        model, matches = shlex.quote(self.model), self.result.matches
        least = math.floor(100 * matches.score) / 100  # rounded up it would lose some
        threshold = f" --score-threshold {least:.2f}" if matches.f1 > 0 else ""
        commands = [f"pocketeye predict {model} IMAGE{threshold}"]
        return [*commands, *_onwards(self.model, self.result.samples.source)]


@dataclass(frozen=True, kw_only=True)
class SemanticEvaluateResult(Evaluation):
    """Mean IoU of a segmenter on one set."""

    model: str | None
    result: SemanticEval
    files: tuple[Path, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        files, problems = list(self.files), list(self.problems)
        return {**self.result.to_dict(), "files": files, "problems": problems}

    def lines(self) -> list[str]:
        result, report = self.result, self.result.report
        lines = [
            f"mean IoU [bold]{human_percent(report.miou)}[/bold] of {report.num_present} of "
            f"{len(report.rows)} classes · mean accuracy of the classes "
            f"{human_percent(report.macc)} · pixel accuracy {human_percent(report.accuracy)}",
            _judged(result.model, len(result.images), "images", result.data, result.seconds),
            *_pixel_chance(report),
            *doubt_lines(result.doubts),
            "",
        ]
        total = max(1, sum(row.pixels for row in report.rows))
        rows = sorted(report.rows, key=lambda row: -1.0 if row.iou is None else row.iou)
        cells = [
            (short(row.name, 30), human_percent(row.pixels / total), human_percent(row.iou),
             human_percent(row.accuracy))
            for row in rows if row.iou is not None
        ]  # fmt: skip
        lines += _table(("hardest classes", "share", "IoU", "accuracy"), cells)
        return [*lines, *problem_lines(self.problems)]

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        if self.model is None:
            return []
        commands = [f"pocketeye predict {shlex.quote(self.model)} IMAGE"]
        return [*commands, *_onwards(self.model, self.result.samples.source)]


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
    # Beside the network: info shows what was found there.
    folder = out or (None if model is None else own_folder(model))
    if folder is not None:
        require_folder(folder)
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


def _ap_lines(kind: str, values: dict[str, float]) -> list[str]:
    sizes = " · ".join(
        f"{size} {human_percent(values[f'ap_{size}'])}" for size in ("small", "medium", "large")
    )
    ap, ap50, ap75, recall = (human_percent(values[key]) for key in ("ap", "ap50", "ap75", "ar100"))
    return [
        f"{kind} AP [bold]{ap}[/bold] · AP50 {ap50} · AP75 {ap75} · {sizes} · recall {recall}",
    ]


def _best_f1(matches: MatchReport, num_objects: int) -> str:
    if not num_objects:
        return "F1 - (there is no object to find)"
    if not matches.f1:
        return "no object is found (IoU 0.5), whatever the score"
    return (
        f"F1 is best at scores from {matches.score:.2f}: {matches.f1:.2f} (precision "
        f"{human_percent(matches.precision)}, recall {human_percent(matches.recall)}; IoU 0.5)"
    )


def _pixel_chance(report: SemanticReport) -> list[str]:
    chance = report.chance
    if chance is None:
        return []
    # A network that says one class everywhere is right in its pixels only, and 0 in the others.
    present = sum(row.pixels > 0 for row in report.rows)
    alone = human_percent(chance.share / present)
    return [escape(f"{chance.sentence('of the pixels')} (a mean IoU of {alone})")]


def _judged(model: str, count: int, what: str, data: str, seconds: float | None) -> str:
    speed = "" if not seconds else f" · {human_seconds(seconds)}, {count / seconds:.1f} {what}/s"
    return f"{escape(model)} on {count} {what} of {escape(data)}{speed}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = text_table(header, rows[:_SHOWN], right=range(1, len(header)))
    more = [f"… and {len(rows) - _SHOWN} more (all with --out FOLDER or --json)"]
    return [*lines, *(more if len(rows) > _SHOWN else [])]


def _onwards(model: str, data: str) -> list[str]:
    quoted = shlex.quote(model)
    if isinstance(resolve(model), ArtifactFolder):
        return [f"pocketeye bench {quoted}"]
    return [f"pocketeye export {quoted} --data {shlex.quote(data)}"]


def _unique(*problems: tuple[str, ...]) -> tuple[str, ...]:
    # Reading and judging may find the same problem.
    return tuple(dict.fromkeys(text for group in problems for text in group))
