"""Run ``pocketeye eval`` of a classifier: how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from rich.markup import escape

from pocketeye.data import DIGITS, load_images
from pocketeye.devices import Device
from pocketeye.doubts import doubt_lines, unless_doubted
from pocketeye.predicting.evaluation.classification import evaluate
from pocketeye.predicting.evaluation.classification_result import EvalResult
from pocketeye.predicting.open_predictor import open_predictor
from pocketeye.results.figures import short
from pocketeye.text import human_percent, human_seconds, problem_lines, text_table
from pocketeye.verb_result import Evaluation
from pocketeye.verbs._next import onwards
from pocketeye.verbs.evaluate.folder import folder_for


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(Evaluation):
    """Hold the report of one network on one set."""

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
            *unless_doubted(report.chance.sentence() if report.chance else "", result.doubts),
            *doubt_lines(result.doubts),
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
        return onwards(self.model, self.result.data)


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
    """Judge a classifier; see :func:`pocketeye.verbs.evaluate.verb.evaluate`."""
    folder = folder_for(out, model)
    # the network first: a mistake there should not wait for the data
    predictor = open_predictor(
        model, names=classes, checkpoint=checkpoint, pretrained=pretrained,
        input_size=input_size, device=device, threads=threads,
    )  # fmt: skip
    part = cast(Literal["train", "val"], split)  # load_images refuses others
    images = load_images(data, part, in_chans=predictor.info.in_chans)
    # Names of the data only where the user gave none.
    if classes is None:
        predictor.adopt_names(images.classes)
    result = evaluate(predictor, images, batch_size=batch_size, workers=workers)
    return EvaluateResult(
        model=model,
        result=result,
        files=tuple(result.save(folder)) if folder else (),
        problems=(*images.problems, *result.problems),
    )
