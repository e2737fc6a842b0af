"""``report.html``: a run folder explained on one page, from what the folder holds."""

from __future__ import annotations

import json
import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from pocketeye import pages
from pocketeye.metrics import wilson_interval
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import ENVIRONMENT, RunFolder, write_atomic
from pocketeye.training.classify.config import TrainConfig
from pocketeye.training.engine.convert import plain

REPORT, RECIPE, RESULT, CURVES, SAMPLES = (
    "report.html", "recipe.yaml", "result.json", "curves.png", "samples.png",
)  # fmt: skip


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
        samples_caption="Training pictures as they entered the network, after augmentation.",
        title=f"{info.name} on {info.data}",
        subtitle=f"{info.num_classes} classes, {result['num_train']:,} pictures to learn from, "
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


def read_json(path: Path) -> dict[str, Any]:
    """A file of a run."""
    data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return data


def settings_of(recipe: dict[str, Any], config: type[Any]) -> list[tuple[str, str, str]]:
    """(Field, value, default) of a recipe of the dataclass ``config``, as text."""
    return [
        (field.name, _text(recipe[field.name]), _text(plain(field.default)))
        for field in fields(config)
        if field.name in recipe
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_text(v) if not isinstance(v, list) else str(v) for v in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "not set"
    return f"{value:g}" if isinstance(value, float) else str(value)


def epoch_rows(run: RunFolder, best: int, metric: str, digits: int) -> list[dict[str, Any]]:
    """The table of epochs, ``metric`` in percent."""
    return [
        {
            "number": int(row["epoch"]) + 1,
            "lr": f"{row['lr']:.3g}",
            "train_loss": f"{row['train/loss']:.4f}",
            "val_loss": f"{row['val/loss']:.4f}" if "val/loss" in row else "",
            "metric": f"{100 * row[metric]:.{digits}f} %",
            "seconds": f"{row['seconds']:.1f}",
            "best": int(row["epoch"]) + 1 == best,
        }
        for row in run.metrics()
    ]


def environment_rows(run: RunFolder, data_sha256: str | None = None) -> list[tuple[str, str]]:
    """Machine and versions of a run."""
    stored = read_json(run / ENVIRONMENT)
    rows = {**stored, **stored["packages"], "sha256 of the data": data_sha256}
    shown = (row for row in rows.items() if row[0] not in ("packages", "created"))
    return [(name, str(value)) for name, value in shown if value is not None]


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


def millions(count: int) -> str:
    """``4.62 M``."""
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count:,}"


def duration(seconds: float) -> str:
    """``1 h 3 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
