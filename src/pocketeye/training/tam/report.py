"""The report of a trained tracker."""

from __future__ import annotations

import shlex
from pathlib import Path

from pocketeye.models.tam.described import TrackerDescription
from pocketeye.runs import ANSWERS, RunFolder
from pocketeye.training.engine.report import (
    ReportWords,
    resume_command,
    stored_recipe,
    write_report,
)
from pocketeye.training.tam.recipe import TamRecipe, TamTask

METRICS = {"val/iou": "IoU", "val/iou_corrected": "IoU after corrections"}
# What the IoU is measured on, in words.
VALIDATION: dict[TamTask, str] = {
    "segment-anything": "objects of validation, from one click",
    "track": "the frames after the first frame's mask, of validation",
}
_CAPTIONS = {
    "track": "The first objects of validation, a row each: in orange what follows from the first mask, "
    "the truth outlined in green.",
    "segment-anything": "The first objects of validation, a row each: answers in orange after the last "
    "click, the truth outlined in green.",
}


def write_tracker_report(run: RunFolder) -> Path:
    """Write ``report.html`` into a finished run's folder, from its files alone.

    Raises:
        InvalidValue: no room.
    """
    described, recipe = TrackerDescription.load(run.path), stored_recipe(run)
    assert described.image_size is not None  # a run was made at some size
    size = " × ".join(map(str, described.image_size))
    options = ("data", "trunk", "checkpoint", "start_from", "teacher", "teacher_checkpoint")
    resume = resume_command(run, "model", options)
    words = ReportWords(
        title=f"{described.variant}, trained to {recipe['task'].replace('-', ' ')}",
        subtitle=f"on {described.data or 'data of its own'}; input 3 × {size}",
        facts=[("steps in all", f"{recipe['epochs'] * recipe['steps_per_epoch']:,}")],
        samples=ANSWERS,
        samples_title="What it answered at the end",
        samples_caption=_CAPTIONS[recipe["task"]],
        commands=[
            *next_commands(run.path, described.variant, recipe["task"]),
            *([resume] if resume else []),
        ],
    )
    return write_report(run, TamRecipe, METRICS, words)


def next_commands(folder: Path, variant: str, task: TamTask) -> list[tuple[str, str]]:
    """Return (what for, command) that make sense after a training."""
    run = shlex.quote(str(folder))
    segment = ("segment an image", f"pocketeye segment IMAGE --point X,Y --model {run}")
    return {
        "segment-anything": [
            segment,
            (
                "learn to track",
                f"pocketeye train track {variant} --data DAVIS_ROOT --checkpoint {run}",
            ),
        ],
        "track": [
            ("track through a video", f"pocketeye track VIDEO --point X,Y --model {run}"),
            segment,
        ],
    }[task]
