"""``report.html`` of a tracker's run, from what its folder holds."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from pocketeye import pages
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.runs import (
    CURVES,
    ENVIRONMENT,
    RECIPE,
    REPORT,
    RESULT,
    RunFolder,
    read_json,
    write_atomic,
)
from pocketeye.training.engine.report import (
    duration,
    environment_rows,
    epoch_rows,
    millions,
    settings_of,
)
from pocketeye.training.tam.config import TamConfig
from pocketeye.training.tam.figures import STRIP

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
    described, result = TrackerDescription.load(run.path), read_json(run / RESULT)
    recipe = yaml.safe_load((run / RECIPE).read_text(encoding="utf-8"))
    settings = settings_of(recipe, TamConfig)
    assert described.image_size is not None  # a run was made at some size
    size = " × ".join(map(str, described.image_size))
    html = pages.render(
        "train.html.j2",
        metric="IoU",
        title=f"{described.variant}, trained to {recipe['task'].replace('-', ' ')}",
        subtitle=f"on {described.data or 'data of its own'}; input 3 × {size}",
        facts=[
            ("IoU on validation", f"{100 * result['iou']:.1f} %"),
            ("best epoch", f"{result['best_epoch']} of {result['epochs']}"),
            ("steps in all", f"{recipe['epochs'] * recipe['steps_per_epoch']:,}"),
            ("parameters", millions(result["params"])),
            ("training time", duration(result["seconds"])),
        ],
        curves=pages.embedded(run / CURVES),
        samples=pages.embedded(run / STRIP),
        samples_title="What it answered at the end",
        samples_caption=_CAPTIONS[recipe["task"]],
        changed=[row for row in settings if row[1] != row[2]],
        same=[row for row in settings if row[1] == row[2]],
        epochs=epoch_rows(run, result["best_epoch"], "val/iou", 1),
        environment=environment_rows(run),
        commands=_commands(run, recipe),
        created=read_json(run / ENVIRONMENT)["created"],
    )
    return write_atomic(run / REPORT, html)


def _commands(run: RunFolder, recipe: dict[str, Any]) -> list[tuple[str, str]]:
    """(What for, command); going on only for runs that ``pocketeye train`` began."""
    folder, asked = shlex.quote(str(run.path)), run.config()
    commands = [
        ("segment an image", f"pocketeye segment IMAGE --point X,Y --model {folder}"),
        ("track through a video", f"pocketeye track VIDEO --point X,Y --model {folder}"),
    ]
    if "model" not in asked:
        return commands
    begin = f"pocketeye train {shlex.quote(asked['model'])} --task {recipe['task']}"
    for name in ("data", "trunk", "checkpoint", "start_from"):
        if asked.get(name):
            begin += f" --{name.replace('_', '-')} {shlex.quote(str(asked[name]))}"
    begin += f" --recipe {shlex.quote(str(run / RECIPE))}"
    return [*commands, ("go on after an interruption", f"{begin} --out {folder} --resume")]
