"""Write the report of a trained tracker."""

from __future__ import annotations

import shlex
from pathlib import Path

from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import SEGMENT_ANYTHING, TRACK, Task
from pocketeye.runs import ANSWERS, RunFolder
from pocketeye.training.engine import (
    ReportWords,
    resume_command,
    stored_recipe,
    write_report,
)
from pocketeye.training.tam.recipe import TamRecipe

# What the IoU is measured on, in words.
VALIDATION = {
    SEGMENT_ANYTHING: "objects of validation, from one click",
    TRACK: "the frames after the first frame's mask, of validation",
}
_CAPTIONS = {
    TRACK: "The first objects of validation, a row each: in orange what follows from the first mask, "
    "the truth outlined in green.",
    SEGMENT_ANYTHING: "The first objects of validation, a row each: answers in orange after the last "
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
        title=f"{described.variant}, trained to {described.task.goal}",
        subtitle=f"on {described.data or 'data of its own'}; input 3 × {size}",
        facts=[("steps in all", f"{recipe['epochs'] * recipe['steps_per_epoch']:,}")],
        samples=ANSWERS,
        samples_title="What it answered at the end",
        samples_caption=_CAPTIONS[described.task],
        commands=[
            *next_commands(run.path, described.variant, described.task),
            *([resume] if resume else []),
        ],
    )
    return write_report(run, TamRecipe, words)


def next_commands(folder: Path, variant: str, task: Task) -> list[tuple[str, str]]:
    """Return (what for, command) that make sense after a training."""
    run = shlex.quote(str(folder))
    segment = ("segment an image", f"pocketeye segment IMAGE --point X,Y --model {run}")
    return {
        SEGMENT_ANYTHING: [
            segment,
            (
                "learn to track",
                f"pocketeye train track {variant} --data DAVIS_ROOT --checkpoint {run}",
            ),
        ],
        TRACK: [
            ("track through a video", f"pocketeye track VIDEO --point X,Y --model {run}"),
            segment,
        ],
    }[task]
