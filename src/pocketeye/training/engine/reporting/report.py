"""Write ``report.html``: a run folder explained on one page, from what the folder holds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pocketeye import pages
from pocketeye.models.task import task_named
from pocketeye.reading import make_mapping, pick, read_yaml, reading
from pocketeye.runs import (
    CURVES,
    RECIPE,
    REPORT,
    RESULT,
    RunFolder,
    read_environment,
    read_json,
    write_atomic,
)
from pocketeye.text import human_count, human_percent, human_seconds
from pocketeye.training.engine.convert import plain
from pocketeye.training.engine.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class ReportWords:
    """Hold what a task says on the page of its runs.

    Attributes:
        title, subtitle: of the page.
        facts: (name, value) after the first number.
        samples: file of the image that is shown, with its title and caption.
        commands: (what for, command).
        data_sha256: of the data, where it is known.
        digits: of the metrics, in percent.
    """

    title: str
    subtitle: str
    facts: Sequence[tuple[str, str]] = ()
    samples: str
    samples_title: str
    samples_caption: str
    commands: Sequence[tuple[str, str]]
    data_sha256: str | None = None
    digits: int = 1


def write_report(run: RunFolder, kind: type[Recipe], words: ReportWords) -> Path:
    """Write ``report.html`` into a finished run's folder, from its files alone.

    Args:
        kind: the class of recipes whose defaults the settings are compared with.

    Raises:
        InvalidValue: no room.
    """
    result = read_json(run / RESULT, best_epoch=int, epochs=int, params=int, seconds=float)
    recipe = stored_recipe(run)
    settings, metrics = _settings(recipe, kind), task_named(recipe["task"]).metrics
    first, *others = metrics
    html = pages.render(
        "train.html.j2",
        metric=metrics[first],
        title=words.title,
        subtitle=words.subtitle,
        facts=[
            (f"{metrics[first]} on validation", human_percent(result["value"], words.digits)),
            *(
                (metrics[name], human_percent(result[short], words.digits))
                for name in others
                if (short := name.partition("/")[2]) in result
            ),
            *words.facts,
            ("best epoch", f"{result['best_epoch']} of {result['epochs']}"),
            ("parameters", human_count(result["params"])),
            ("training time", human_seconds(result["seconds"])),
        ],
        notes=[*result.get("doubts", ()), *([result["chance"]] if result.get("chance") else [])],
        curves=pages.embedded(run / CURVES),
        samples=pages.embedded(run / words.samples),
        samples_title=words.samples_title,
        samples_caption=words.samples_caption,
        # What differs from the defaults comes first: it is what a reader asks for.
        changed=[row for row in settings if row[1] != row[2]],
        same=[row for row in settings if row[1] == row[2]],
        epochs=_epoch_rows(run, result["best_epoch"], first, words.digits),
        environment=_environment_rows(run, words.data_sha256),
        commands=words.commands,
        created=read_environment(run.path)["created"],
    )
    return write_atomic(run / REPORT, html)


def stored_recipe(run: RunFolder) -> dict[str, Any]:
    """Return the values of ``recipe.yaml`` of a run.

    Raises:
        MissingFile: nothing there. InvalidValue: it is damaged.
    """
    data = read_yaml(run / RECIPE)
    with reading(run / RECIPE, "the recipe of a run"):
        return {**make_mapping(data), **pick(data, task=str)}


def resume_command(run: RunFolder, network: str, options: Sequence[str]) -> tuple[str, str] | None:
    """Return (what for, command) to go on with a run; None unless ``pocketeye train`` began it.

    Args:
        network: key of ``config.yaml`` under which the first argument stands.
        options: keys of further options; those that were not given are left out.
    """
    asked = run.config()
    # A run that was begun in Python has no command.
    if network not in asked:
        return None
    words = ["pocketeye", "train", stored_recipe(run)["task"], shlex.quote(str(asked[network]))]
    for name in options:
        value = asked.get(name)
        # Options that were not given would be noise.
        if value is not None and value is not False:
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [shlex.quote(str(value))]
    words += ["--recipe", shlex.quote(str(run / RECIPE)), "--out", shlex.quote(str(run.path))]
    return "go on after an interruption", " ".join([*words, "--resume"])


def _settings(recipe: dict[str, Any], kind: type[Recipe]) -> list[tuple[str, str, str]]:
    """Return (field, value, default) of a recipe, as text."""
    return [
        # What concerns only the machine is not kept in the file.
        (field.name, _text(recipe[field.name]), _text(plain(field.default)))
        for field in fields(kind)
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


def _epoch_rows(run: RunFolder, best: int, metric: str, digits: int) -> list[dict[str, Any]]:
    """Return the table of epochs, ``metric`` in percent."""
    return [
        {
            "number": int(row["epoch"]) + 1,
            "lr": f"{row['lr']:.3g}",
            "train_loss": f"{row['train/loss']:.4f}",
            "val_loss": f"{row['val/loss']:.4f}" if "val/loss" in row else "",
            "metric": human_percent(row[metric], digits),
            "seconds": f"{row['seconds']:.1f}",
            "best": int(row["epoch"]) + 1 == best,
        }
        for row in run.metrics()
    ]


def _environment_rows(run: RunFolder, data_sha256: str | None = None) -> list[tuple[str, str]]:
    """Return machine and versions of a run."""
    stored = read_environment(run.path)
    rows = {**stored, **stored["packages"], "sha256 of the data": data_sha256}
    shown = (row for row in rows.items() if row[0] not in ("packages", "created"))
    return [(name, str(value)) for name, value in shown if value is not None]
