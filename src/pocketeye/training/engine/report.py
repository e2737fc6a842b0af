"""``report.html``: a run folder explained on one page, from what the folder holds."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from pocketeye.runs import (
    ENVIRONMENT,
    RunFolder,
    read_json,
)
from pocketeye.training.engine.convert import plain


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
