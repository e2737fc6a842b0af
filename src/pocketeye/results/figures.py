"""Make figures of one style: colours, axes, short labels."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from pocketeye.outputs import cannot_write, write_whole

TRAIN_COLOUR, VAL_COLOUR = "#b0651d", "#1f5fa8"


def make_figure(width: float, height: float) -> Any:
    """Make a figure of so many inches, beside pyplot's global state."""
    # Imported late: most commands draw no figure.
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


def headline(figure: Any, text: str, points: float = 10) -> None:
    """Write a title over a figure, in as many lines as its width asks for."""
    across = figure.get_figwidth() * 72  # points
    letters = max(20, int(across / (0.6 * points)))  # of a letter's mean width in this font
    lines = textwrap.wrap(text, letters, break_on_hyphens=False) or [""]
    figure.suptitle("\n".join(lines), fontsize=points)


def legend_above(axes: Any, columns: int = 3) -> None:
    """Put the key over the axes, where no curve runs through it; nothing where there is no label."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles, labels, frameon=False, fontsize=8, loc="lower center",
            bbox_to_anchor=(0.5, 1.0), ncols=min(columns, len(handles)), borderaxespad=0.2,
        )  # fmt: skip


def short(name: str, most: int) -> str:
    """Shorten a name to at most ``most`` letters: the first of its synonyms if it has some.

    ImageNet's names are lists of synonyms: ``tench, Tinca tinca``.
    """
    first = name if len(name) <= most else name.partition(",")[0]
    return first if len(first) <= most else f"{first[: most - 1]}…"
