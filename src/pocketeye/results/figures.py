"""Figures of one style: colours, axes, short labels."""

from __future__ import annotations

from typing import Any

TRAIN_COLOUR, VAL_COLOUR = "#b0651d", "#1f5fa8"


def make_figure(width: float, height: float) -> Any:
    """A figure of so many inches, beside pyplot's global state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def short(name: str, most: int) -> str:
    """A name in at most ``most`` letters: the first of its synonyms if it has some."""
    first = name if len(name) <= most else name.partition(",")[0]
    return first if len(first) <= most else f"{first[: most - 1]}…"
