"""``pocketeye eval``: the accuracy of a run, an artefact or a network with weights."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape

from pocketeye.data import load_images
from pocketeye.data.classification import DIGITS
from pocketeye.runtimes import MANIFEST
from pocketeye.training.eval_pictures import short
from pocketeye.training.evaluate import EvalResult
from pocketeye.training.evaluate import evaluate as run_evaluation
from pocketeye.training.predictor import open_predictor
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs._text import human_seconds, problem_lines, text_table


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
            f"{escape(result.model)} on {report.n} pictures of {escape(result.data)} · "
            f"{human_seconds(result.seconds)}, {result.images_per_second:.0f} pictures/s",
            "",
        ]
        worst = [
            (short(row.name, 30), str(row.n), _percent(row.recall), _percent(row.precision))
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


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def evaluate(
    model: str,
    *,
    data: str = DIGITS,
    split: Literal["train", "val"] = "val",
    classes: Path | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    batch_size: int = 128,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    threads: int = 1,
    workers: int = 0,
    out: Path | None = None,
) -> EvaluateResult:
    """Judge a classifier: top-1 with its interval, top-5, per class, confusion, calibration.

    Args:
        model: a run folder, an exported artefact, or a name or architecture.json with weights.
        data: as in `pocketeye train`.
        split: which part of the data.
        classes: text file with the names of the network's classes, one a line, where the weights
            come without them.
        checkpoint: weights for a name or an architecture.json.
        pretrained: fetch the published weights of a name.
        input_size: another side of the input in pixels than the network's.
        batch_size: pictures at once (an artefact has its own).
        device: where a torch network runs.
        threads: threads of an artefact's runtime.
        workers: processes that prepare pictures.
        out: folder for eval.json, classes.csv, confusion.csv and the pictures confusion.png and
            calibration.png; the folder of the run or artefact by default, and nothing is written
            for a name.

    Raises:
        InvalidValue: no weights, or data of other classes than the network knows.
        MissingFile: no such network or data.
    """
    # the network first: a mistake there should not wait for the data
    predictor = None
    if classes is not None or (Path(model).is_dir() and checkpoint is None):
        predictor = open_predictor(
            model, names=classes, checkpoint=checkpoint, pretrained=pretrained,
            input_size=input_size, device=device, threads=threads,
        )  # fmt: skip
    images = load_images(data, split, in_chans=predictor.info.in_chans if predictor else None)
    if predictor is None or (
        classes is None and _lacks_names(predictor.info.classes, images.classes)
    ):
        predictor = open_predictor(
            model, classes=images.classes, checkpoint=checkpoint, pretrained=pretrained,
            input_size=input_size, device=device, threads=threads,
        )  # fmt: skip
        if predictor.info.in_chans != images.in_chans:
            images = load_images(data, split, in_chans=predictor.info.in_chans)
    result = run_evaluation(predictor, images, batch_size=batch_size, workers=workers)
    folder = out or (Path(model) if Path(model).is_dir() else None)
    return EvaluateResult(
        model=model,
        result=result,
        files=tuple(result.save(folder)) if folder else (),
        problems=(*images.problems, *result.problems),
    )


def _lacks_names(classes: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    """Whether an artefact knows its classes by number only."""
    numbers = tuple(str(index) for index in range(len(classes)))
    return classes == numbers != wanted and len(classes) == len(wanted)
