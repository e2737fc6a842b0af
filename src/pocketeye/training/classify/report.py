"""The report of a trained classifier."""

from __future__ import annotations

import shlex
from pathlib import Path

import yaml

from pocketeye import pages
from pocketeye.metrics import wilson_interval
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import (
    CURVES,
    ENVIRONMENT,
    RECIPE,
    REPORT,
    RESULT,
    SAMPLES,
    RunFolder,
    read_json,
    write_atomic,
)
from pocketeye.training.classify.config import TrainConfig
from pocketeye.training.engine.report import (
    duration,
    environment_rows,
    epoch_rows,
    millions,
    settings_of,
)


def write_report(run: RunFolder) -> Path:
    """Write ``report.html`` into a finished run's folder, from its files alone.

    Raises:
        InvalidValue: no room.
    """
    info, result = ModelInfo.load(run.path), read_json(run / RESULT)
    recipe = yaml.safe_load((run / RECIPE).read_text(encoding="utf-8"))
    low, high = wilson_interval(round(result["top1"] * result["num_val"]), result["num_val"])
    settings = settings_of(recipe, TrainConfig)
    html = pages.render(
        "train.html.j2",
        metric="top-1",
        samples_title="What the network saw",
        samples_caption="Training images as they entered the network, after augmentation.",
        title=f"{info.name} on {info.data}",
        subtitle=f"{info.num_classes} classes, {result['num_train']:,} images to learn from, "
        f"{result['num_val']:,} to validate on; input {info.in_chans} × {info.input_size} × "
        f"{info.input_size}",
        facts=[
            ("top-1 on validation", f"{100 * result['top1']:.2f} %"),
            ("95 % interval", f"{100 * low:.1f} to {100 * high:.1f} %"),
            ("best epoch", f"{result['best_epoch']} of {result['epochs']}"),
            ("parameters", millions(result["params"])),
            ("training time", duration(result["seconds"])),
        ],
        curves=pages.embedded(run / CURVES),
        samples=pages.embedded(run / SAMPLES),
        changed=[row for row in settings if row[1] != row[2]],
        same=[row for row in settings if row[1] == row[2]],
        epochs=epoch_rows(run, result["best_epoch"], "val/top1", 2),
        environment=environment_rows(run, info.data_sha256),
        commands=_commands(run, info),
        created=read_json(run / ENVIRONMENT)["created"],
    )
    return write_atomic(run / REPORT, html)


def _commands(run: RunFolder, info: ModelInfo) -> list[tuple[str, str]]:
    """(What for, command); going on and repeating only for runs that ``pocketeye train`` began."""
    folder, data = shlex.quote(str(run.path)), shlex.quote(info.data)
    commands = [
        ("evaluate", f"pocketeye eval {folder} --data {data}"),
        ("export", f"pocketeye export {folder} --data {data}"),
    ]
    asked = run.config()
    if "model" in asked:
        begin = f"pocketeye train {shlex.quote(asked['model'])} --data {shlex.quote(asked['data'])}"
        begin += f" --recipe {shlex.quote(str(run / RECIPE))}"
        for name in ("pretrained", "new_head"):
            begin += f" --{name.replace('_', '-')}" if asked.get(name) else ""
        if asked.get("checkpoint"):
            begin += f" --checkpoint {shlex.quote(asked['checkpoint'])}"
        commands += [
            ("go on after an interruption", f"{begin} --out {folder} --resume"),
            ("repeat in another folder", f"{begin} --out {shlex.quote(str(run.path) + '-again')}"),
        ]
    return commands
