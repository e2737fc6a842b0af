"""Write the report of a trained detector or segmenter."""

from __future__ import annotations

import shlex
from pathlib import Path

from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.task import DETECT, INSTANCE, SEMANTIC
from pocketeye.runs import ANSWERS, RESULT, RunFolder, read_json
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.engine import ReportWords, resume_command, write_report

_CAPTIONS = {
    DETECT: "Images of validation: true objects on the left, those found with a score of 0.3 or more on "
    "the right.",
    INSTANCE: "Images of validation: true objects on the left, those found with a score of 0.3 or more "
    "on the right.",
    SEMANTIC: "Images of validation: true classes, what was said, and where the two differ.",
}


def write_dense_report(run: RunFolder) -> Path:
    """Write ``report.html`` into a finished run's folder, from its files alone.

    Raises:
        InvalidValue: no room.
    """
    described, result = (
        DenseDescription.load(run.path),
        read_json(run / RESULT, num_train=int, num_val=int),
    )
    options = ("data", "classes", "pretrained", "checkpoint", "start_from")
    resume = resume_command(run, "backbone", options)
    words = ReportWords(
        title=f"{described.network} with {described.backbone}",
        subtitle=f"on {described.data}: {described.num_classes} classes, "
        f"{result['num_train']:,} images to learn from, {result['num_val']:,} to validate on; "
        f"shorter side {described.min_size} pixels",
        samples=ANSWERS,
        samples_title="What it answered at the end",
        samples_caption=_CAPTIONS[described.task],
        commands=[*next_commands(run.path, described), *([resume] if resume else [])],
    )
    return write_report(run, DenseRecipe, words)


def next_commands(folder: Path, described: DenseDescription) -> list[tuple[str, str]]:
    """Return (what for, command) that make sense after a training."""
    run, data = shlex.quote(str(folder)), shlex.quote(described.data)
    return [
        ("judge it", f"pocketeye eval {run} --data {data}"),
        ("use it on images", f"pocketeye predict {run} IMAGE"),
        ("export it", f"pocketeye export {run} --data {data}"),
    ]
