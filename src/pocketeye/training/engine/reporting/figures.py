"""Draw images of a run with matplotlib's objects (no global state, no display)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketeye.results.figures import (
    TRAIN_COLOUR,
    VAL_COLOUR,
    headline,
    legend_above,
    make_figure,
    save_figure,
    short,
)

# Fewer epochs than this get a dot each: a line through two points hides how few they are.
_DOTTED = 20
# From this ratio of the largest to the smallest loss on, the small ones would lie on the axis.
_WIDE = 50


def save_curves(
    rows: Sequence[Mapping[str, float]], path: Path, title: str, metrics: Mapping[str, str]
) -> Path:
    """Draw loss and validation by epoch, from the rows of ``metrics.csv``.

    Nothing is cut off: where losses span orders of magnitude, as those of early validations do, their
    axis is logarithmic.

    Args:
        metrics: label of each column that is drawn, the one that counts first.
    """
    figure = make_figure(8, 3.6)
    loss, value = figure.subplots(1, 2)
    drawn = [
        _draw(loss, rows, "train/loss", "training", TRAIN_COLOUR),
        _draw(loss, rows, "val/loss", "validation", VAL_COLOUR),
    ]
    losses = [y for line in drawn for y in line]
    # Zero or negative losses have no logarithm.
    if losses and min(losses) > 0 and max(losses) > _WIDE * min(losses):
        loss.set_yscale("log")
    elif losses and min(losses) >= 0:
        loss.set_ylim(bottom=0)
    shown = [
        _draw(value, rows, key, label, colour, 100)
        for colour, (key, label) in zip(
            (VAL_COLOUR, TRAIN_COLOUR, "0.5"), metrics.items(), strict=False
        )
    ]
    loss.set(xlabel="epoch", ylabel="loss")
    value.set(xlabel="epoch", ylabel="validation (%)")
    if len(rows) == 1:
        value.set_ylim(-3, 103)  # a single point has no range of its own
    if not any(shown):
        value.text(0.5, 0.5, "nothing to judge", ha="center", transform=value.transAxes)
    for axes in (loss, value):
        _frame(axes, rows)
    best = f", best {max(shown[0]):.2f} %" if shown[0] else ""
    headline(figure, f"{title}{best}")
    return save_figure(figure, path, 120)


def _frame(axes: Any, rows: Sequence[Mapping[str, float]]) -> None:
    """Put the key above, whole epochs below, and a single epoch in the middle."""
    legend_above(axes)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if len(rows) == 1:
        epoch = rows[0]["epoch"] + 1
        axes.set_xlim(epoch - 0.5, epoch + 0.5)
        axes.set_xticks([epoch])


def _draw(
    axes: Any, rows: Sequence[Mapping[str, float]], key: str, label: str, colour: str,
    scale: float = 1.0,
) -> list[float]:  # fmt: skip
    """Draw what is finite of a column, and return it; a single epoch is a dot."""
    points = [
        (row["epoch"] + 1, scale * row[key])
        for row in rows
        if key in row and math.isfinite(row[key])
    ]
    if not points:
        return []
    x, y = np.asarray(points).T
    marker = "o" if len(x) == 1 else "." if len(x) < _DOTTED else ""
    axes.plot(x, y, color=colour, label=label, marker=marker, ls="" if len(x) == 1 else "-")
    return [float(each) for each in y]


def save_samples(
    x: Tensor, labels: Sequence[str], mean: Sequence[float], std: Sequence[float], path: Path
) -> Path:
    """Save a grid of normalised inputs ``(N, C, S, S)`` with their labels, as the network sees them."""
    columns = min(8, len(x))  # a row of eight is as wide as a page
    rows = -(-len(x) // columns)
    size, gap = x.shape[-1], max(1, x.shape[-1] // 16)
    title = gap + max(2, size // 6)
    # The normalisation is taken back: people know pixels.
    shown = x * torch.tensor(list(std)).view(-1, 1, 1) + torch.tensor(list(mean)).view(-1, 1, 1)
    # one image of all, as an axes for each costs seconds
    sheet = np.ones((rows * (size + title), columns * (size + gap) - gap, 3), np.float32)
    figure = make_figure(1.25 * columns, 1.45 * rows)
    axes = figure.subplots()
    axes.axis("off")
    for index, label in enumerate(labels):
        top = index // columns * (size + title) + title
        left = index % columns * (size + gap)
        pixels = shown[index].clamp(0, 1).permute(1, 2, 0).numpy()
        sheet[top : top + size, left : left + size] = pixels
        axes.text(left + size / 2, top - 1, short(label, 16), ha="center", va="bottom", fontsize=7)
    axes.imshow(sheet)
    return save_figure(figure, path, 110)
