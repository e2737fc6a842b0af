"""Make figures of one style: colours, axes, short labels."""

from __future__ import annotations

from typing import Any

TRAIN_COLOUR, VAL_COLOUR = "#b0651d", "#1f5fa8"


def make_figure(width: float, height: float) -> Any:
    """Make a figure of so many inches, beside pyplot's global state."""
    # Imported late: most commands draw no figure.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def short(name: str, most: int) -> str:
    """Shorten a name to at most ``most`` letters: the first of its synonyms if it has some.

    ImageNet's names are lists of synonyms: ``tench, Tinca tinca``.
    """
    first = name if len(name) <= most else name.partition(",")[0]
    return first if len(first) <= most else f"{first[: most - 1]}…"
