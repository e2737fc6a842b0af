"""``report.html`` of a detector's or segmenter's run, from what its folder holds."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pocketeye import pages
from pocketeye.models.dense.described import DenseDescription
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
from pocketeye.training.dense.config import DenseConfig
from pocketeye.training.dense.figures import STRIP
from pocketeye.training.engine.report import (
    duration,
    environment_rows,
    epoch_rows,
    millions,
    settings_of,
)

_CAPTIONS = {
    "detect": "Images of validation: the truth in green, what was found with a score of "
    "0.3 or more in the colours of its class.",
    "instance": "Images of validation: boxes of the truth in green, what was found with a "
    "score of 0.3 or more in the colours of its class.",
    "semantic": "Images of validation, below each the answer and the truth; black counts "
    "for nothing.",
}


def write_dense_report(run: RunFolder, metrics: Mapping[str, str]) -> Path:
    """Write ``report.html`` into a finished run's folder, from its files alone.

    Args:
        metrics: label of each column of ``metrics.csv`` that counts, the most important first.

    Raises:
        InvalidValue: no room.
    """
    described, result = DenseDescription.load(run.path), read_json(run / RESULT)
    recipe = yaml.safe_load((run / RECIPE).read_text(encoding="utf-8"))
    settings = settings_of(recipe, DenseConfig)
    first, *others = metrics
    html = pages.render(
        "train.html.j2",
        metric=metrics[first],
        title=f"{described.network} with {described.backbone}",
        subtitle=f"on {described.data}: {described.num_classes} classes, "
        f"{result['num_train']:,} images to learn from, {result['num_val']:,} to validate on; "
        f"shorter side {described.min_size} pixels",
        facts=[
            (f"{metrics[first]} on validation", f"{100 * result['value']:.1f} %"),
            *((metrics[name], f"{100 * result[name.partition('/')[2]]:.1f} %") for name in others),
            ("best epoch", f"{result['best_epoch']} of {result['epochs']}"),
            ("parameters", millions(result["params"])),
            ("training time", duration(result["seconds"])),
        ],
        curves=pages.embedded(run / CURVES),
        samples=pages.embedded(run / STRIP),
        samples_title="What it answered at the end",
        samples_caption=_CAPTIONS[described.task.name],
        changed=[row for row in settings if row[1] != row[2]],
        same=[row for row in settings if row[1] == row[2]],
        epochs=epoch_rows(run, result["best_epoch"], first, 1),
        environment=environment_rows(run),
        commands=_commands(run, recipe, described),
        created=read_json(run / ENVIRONMENT)["created"],
    )
    return write_atomic(run / REPORT, html)


def _commands(
    run: RunFolder, recipe: dict[str, Any], described: DenseDescription
) -> list[tuple[str, str]]:
    """(What for, command); going on only for runs that ``pocketeye train`` began."""
    folder, asked = shlex.quote(str(run.path)), run.config()
    data = shlex.quote(described.data)
    commands = [
        ("judge it", f"pocketeye eval {folder} --data {data}"),
        ("use it on images", f"pocketeye predict {folder} IMAGE"),
        ("export it", f"pocketeye export {folder} --data {data}"),
    ]
    if "backbone" not in asked:
        return commands
    begin = f"pocketeye train --task {recipe['task']}"
    for name in ("backbone", "data", "classes", "checkpoint", "start_from"):
        if asked.get(name):
            begin += f" --{name.replace('_', '-')} {shlex.quote(str(asked[name]))}"
    begin += f" --recipe {shlex.quote(str(run / RECIPE))}"
    return [*commands, ("go on after an interruption", f"{begin} --out {folder} --resume")]
