"""Figures of one style: colours, axes, short labels."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pocketeye.outputs import cannot_write, write_whole

TRAIN_COLOUR, VAL_COLOUR = "#b0651d", "#1f5fa8"


def make_figure(width: float, height: float) -> Any:
    """A figure of so many inches, beside pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path, dpi: int) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises:
        InvalidValue: a place that cannot be written.
    """
    data = io.BytesIO()
    # Without the version of matplotlib in it the same figure is the same file.
    figure.savefig(data, dpi=dpi, format="png", metadata={"Software": None})
    try:
        write_whole(path, data.getvalue())
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def short(name: str, most: int) -> str:
    """A name in at most ``most`` letters: the first of its synonyms if it has some."""
    first = name if len(name) <= most else name.partition(",")[0]
    return first if len(first) <= most else f"{first[: most - 1]}…"
