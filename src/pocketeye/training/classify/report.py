"""Write the report of a trained classifier."""

from __future__ import annotations

import shlex
from pathlib import Path

from pocketeye.metrics import wilson_interval
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import RESULT, SAMPLES, RunFolder, read_json
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.engine import ReportWords, resume_command, write_report


def write_classify_report(run: RunFolder) -> Path:
    """Write ``report.html`` into a finished run's folder, from its files alone.

    Raises:
        InvalidValue: no room.
    """
    info, result = ModelInfo.load(run.path), read_json(run / RESULT, num_train=int, num_val=int)
    # Null in the file: no image of validation could be read.
    right, num_val = (result["value"] or 0.0) * result["num_val"], result["num_val"]
    low, high = wilson_interval(round(right), num_val)
    words = ReportWords(
        title=f"{info.name} on {info.data}",
        subtitle=f"{info.num_classes} classes, {result['num_train']:,} images to learn from, "
        f"{result['num_val']:,} to validate on; input {info.in_chans} × {info.input_size} × "
        f"{info.input_size}",
        facts=[("95 % interval", f"{100 * low:.1f} to {100 * high:.1f} %")],
        samples=SAMPLES,
        samples_title="What the network saw",
        samples_caption="Training images as they entered the network, after augmentation.",
        commands=[*next_commands(run.path, info.data), *_resume_commands(run)],
        data_sha256=info.data_sha256,
        digits=2,
    )
    return write_report(run, ClassifyRecipe, words)


def next_commands(folder: Path, data: str) -> list[tuple[str, str]]:
    """Return (what for, command) that make sense after a training."""
    run, data = shlex.quote(str(folder)), shlex.quote(data)
    return [
        ("evaluate", f"pocketeye eval {run} --data {data}"),
        ("use it on images", f"pocketeye predict {run} IMAGE"),
        ("export", f"pocketeye export {run} --data {data}"),
    ]


def _resume_commands(run: RunFolder) -> list[tuple[str, str]]:
    resume = resume_command(run, "model", ("data", "pretrained", "new_head", "checkpoint"))
    if resume is None:
        return []
    again = shlex.quote(f"{run.path}-again")
    begin = resume[1].removesuffix(f" --out {shlex.quote(str(run.path))} --resume")
    # A repetition must not overwrite what it repeats.
    return [resume, ("repeat in another folder", f"{begin} --out {again}")]
