"""Say how good a detector or a segmenter is: for a person, for ``--json``, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.doubts import Doubt, doubt_lines, unless_doubted
from pocketeye.metrics import MatchReport
from pocketeye.metrics.semantic import SemanticReport
from pocketeye.predicting.evaluation.detection_result import DetectionEval
from pocketeye.predicting.evaluation.semantic_result import SemanticEval
from pocketeye.results.figures import short
from pocketeye.text import human_percent, human_seconds, problem_lines, text_table
from pocketeye.verb_result import Evaluation
from pocketeye.verbs._next import look_with, onwards

_SHOWN = 12  # of the hardest classes


@dataclass(frozen=True, kw_only=True)
class _DenseEvaluation(Evaluation):
    """Hold how good a detector or a segmenter is on one set, and the files that say it."""

    model: str | None
    result: DetectionEval | SemanticEval
    files: tuple[Path, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        files, problems = list(self.files), list(self.problems)
        return {**self.result.to_dict(), "files": files, "problems": problems}

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        if self.model is None:
            return []
        look = look_with(self.model, self._options())
        return [look, *onwards(self.model, self.result.samples.source)]

    def _options(self) -> str:
        """Return what ``pocketeye predict`` is best called with."""
        return ""


@dataclass(frozen=True, kw_only=True)
class DetectionEvaluateResult(_DenseEvaluation):
    """Average precision of a detector on one set."""

    result: DetectionEval

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

    def _options(self) -> str:
        matches = self.result.matches
        least = math.floor(100 * matches.score) / 100  # rounded up it would lose some
        return f" --score-threshold {least:.2f}" if matches.f1 > 0 else ""


@dataclass(frozen=True, kw_only=True)
class SemanticEvaluateResult(_DenseEvaluation):
    """Mean IoU of a segmenter on one set."""

    result: SemanticEval

    def lines(self) -> list[str]:
        result, report = self.result, self.result.report
        lines = [
            f"mean IoU [bold]{human_percent(report.miou)}[/bold] of {report.num_present} of "
            f"{len(report.rows)} classes · mean accuracy of the classes "
            f"{human_percent(report.macc)} · pixel accuracy {human_percent(report.accuracy)}",
            _judged(result.model, len(result.images), "images", result.data, result.seconds),
            *_pixel_chance(report, result.doubts),
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


def _pixel_chance(report: SemanticReport, doubts: Sequence[Doubt]) -> list[str]:
    chance = report.chance
    # A doubt may say it already.
    if chance is None or not unless_doubted(chance.sentence("of the pixels"), doubts):
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
