"""Draw an evaluation: where classes are confused, and whether confidence is earned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.metrics import ClassReport, ConfusionTable
from pocketeye.results.figures import (
    TRAIN_COLOUR,
    VAL_COLOUR,
    headline,
    make_figure,
    save_figure,
    short,
)

_LETTERS = 32  # of the name of a class: longer ones end in an ellipsis
_MOST_NAMED = 30
"""Classes up to which every cell of the matrix is written out."""


def save_confusion(table: ConfusionTable, path: Path, title: str, unit: str = "images") -> Path:
    """Draw the confusion matrix as shares of each true class.

    With up to 30 classes all names and counts are written; with more the colours are those of the
    mistakes, and the commonest of them are listed beside. Of pixels, whose counts say little, shares
    are written.

    Args:
        unit: what was counted: images, objects or pixels.
    """
    # With more classes the numbers in the cells would be unreadable.
    if len(table.names) <= _MOST_NAMED:
        return _named_confusion(table, path, title, unit)
    figure = make_figure(14, 7.6)
    matrix, pairs = figure.subplots(1, 2, width_ratios=(1.25, 1))
    share = _shares(table)
    np.fill_diagonal(share, np.nan)  # what is right would outshine what is not
    cmap = _colours()
    image = matrix.imshow(
        _pooled(share), cmap=cmap, norm=_emphasis(share), interpolation="nearest",
        extent=(-0.5, len(share) - 0.5, len(share) - 0.5, -0.5),
    )  # fmt: skip
    matrix.set(xlabel="predicted (number of the class)", ylabel="true")
    matrix.set_title("mistakes only (what is right is left out)", fontsize=10)
    figure.colorbar(image, ax=matrix, shrink=0.7, label="share of the true class")
    _draw_pairs(pairs, table, unit)
    headline(figure, title, 11)
    return save_figure(figure, path, 120)


def _shares(table: ConfusionTable) -> np.ndarray:
    totals = np.maximum(table.counts.sum(axis=1, keepdims=True), 1)
    return np.asarray(table.counts / totals)


def _pooled(share: np.ndarray, most: int = 200) -> np.ndarray:
    """Pool to at most ``most`` cells a side, the largest of each block: cells would be too small."""
    # The largest of each block is kept: a mean would hide a single bad pair.
    block = -(-len(share) // most)
    filler = (0, -len(share) % block)
    padded = np.pad(share, (filler, filler), constant_values=np.nan)
    side = len(padded) // block
    blocks = padded.reshape(side, block, side, block).transpose(0, 2, 1, 3).reshape(side, side, -1)
    # Blocks of nothing but filler, or of the diagonal, stay empty.
    empty = np.isnan(blocks).all(axis=2)
    return np.where(empty, np.nan, np.nan_to_num(blocks, nan=-1.0).max(axis=2))


def _colours() -> Any:
    from matplotlib import colormaps

    return colormaps["Blues"].with_extremes(bad="#d9d9d9")


def _emphasis(share: np.ndarray) -> Any:
    """Stretch shares so that small ones are seen beside large ones."""
    from matplotlib.colors import PowerNorm

    # The square root: a share of 4 % has a fifth of the colour of 100 %, not a 25th.
    return PowerNorm(0.5, vmin=0, vmax=max(float(np.nanmax(share)), 1e-3))


def _draw_pairs(axes: Any, table: ConfusionTable, unit: str) -> None:
    worst = table.confused(25)
    counts = [pair.n for pair in worst]
    axes.barh(range(len(worst)), counts, color=VAL_COLOUR, height=0.7)
    names = [f"{short(p.true, 24)} → {short(p.predicted, 24)}" for p in worst]
    axes.set_yticks(range(len(worst)), names, fontsize=8)
    for place, pair in enumerate(worst):
        axes.text(pair.n, place, f" {pair.n} of {pair.of}", va="center", fontsize=7)
    axes.set_ylim(len(worst) - 0.4, -0.6)
    axes.set_xlim(0, 1.2 * max(counts, default=1))
    axes.set_xlabel(unit)
    axes.set_title("most confused: true → predicted", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)


def _named_confusion(table: ConfusionTable, path: Path, title: str, unit: str) -> Path:
    names, count = table.names, len(table.names)
    letters = max(len(short(name, _LETTERS)) for name in names)
    # Room for every class and for the longest name.
    side = max(4.5, 0.38 * count + 2.2 + 0.06 * letters)
    figure = make_figure(side, side)
    axes = figure.subplots()
    share = _shares(table)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(
        range(count), [short(name, _LETTERS) for name in names], rotation=90, fontsize=7
    )
    axes.set_yticks(range(count), [short(name, _LETTERS) for name in names], fontsize=7)
    for i, j in zip(*np.nonzero(table.counts), strict=True):
        # White letters on dark cells.
        colour = "white" if share[i, j] > 0.5 else "black"
        text = str(table.counts[i, j]) if unit != "pixels" else _percent_of_cell(share[i, j])
        axes.text(j, i, text, ha="center", va="center", fontsize=6, color=colour)
    axes.set(xlabel="predicted", ylabel="true")
    headline(figure, title)
    of = ", written in %" if unit == "pixels" else ""
    figure.colorbar(image, shrink=0.7, label=f"share of the true class{of}")
    return save_figure(figure, path, 120)


def _percent_of_cell(share: float) -> str:
    """Write a share for a cell; nothing for what rounds to nothing."""
    return f"{100 * share:.0f}" if share >= 0.005 else ""


def save_calibration(report: ClassReport, path: Path, title: str) -> Path:
    """Draw accuracy by confidence, and below it how many predictions each bar is of."""
    figure = make_figure(5.2, 5.6)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
    # Empty bins have no accuracy: no bar is drawn, rather than one of height 0.
    full = [row for row in report.bins if row.accuracy is not None]
    left, width = [row.low for row in full], [row.high - row.low for row in full]
    accuracy = [row.accuracy for row in full]
    upper.bar(left, accuracy, width, align="edge", color=VAL_COLOUR, edgecolor="white")
    for row in full:  # the gap to what was claimed
        upper.plot([row.low, row.high], [row.confidence] * 2, color=TRAIN_COLOUR, lw=2.5)
    upper.plot([0, 1], [0, 1], color="grey", lw=1, ls="--")
    upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    handles = [upper.patches[0], upper.lines[0], upper.lines[-1]]
    labels = ["share that was right", "mean confidence", "perfectly calibrated"]
    upper.legend(
        handles, labels, frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0),
        ncols=3, columnspacing=1.0, handlelength=1.5,
    )  # fmt: skip
    headline(figure, f"{title}; calibration error {100 * report.ece:.1f} %", 9)
    lower.bar(
        left, [row.n for row in full], width, align="edge", color="#9aa5b1", edgecolor="white"
    )
    for row in full:
        middle = (row.low + row.high) / 2
        lower.text(middle, row.n, str(row.n), ha="center", va="bottom", fontsize=6)
    lower.set(xlabel="confidence", ylabel="images")
    lower.margins(y=0.18)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    return save_figure(figure, path, 120)
