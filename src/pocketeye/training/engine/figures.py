"""Images of a run, drawn with matplotlib's objects (no global state, no display)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketeye.results.figures import TRAIN_COLOUR, VAL_COLOUR, make_figure, save_figure

# Fewer epochs than this get a dot each: a line through two points hides how few they are.
_DOTTED = 20


def save_curves(
    rows: Sequence[Mapping[str, float]], path: Path, title: str, metrics: Mapping[str, str]
) -> Path:
    """Draw loss and validation by epoch, from the rows of ``metrics.csv``.

    Args:
        metrics: label of each column that is drawn, the one that counts first.
    """
    figure = make_figure(8, 3.2)
    loss, value = figure.subplots(1, 2)
    _draw(loss, rows, "train/loss", "training", TRAIN_COLOUR)
    _draw(loss, rows, "val/loss", "validation", VAL_COLOUR)
    for colour, (key, label) in zip(
        (VAL_COLOUR, TRAIN_COLOUR, "0.5"), metrics.items(), strict=False
    ):
        _draw(value, rows, key, label, colour, 100)
    loss.set(xlabel="epoch", ylabel="loss")
    if high := _loss_limit(rows):
        loss.set_ylim(0, high)
    value.set(xlabel="epoch", ylabel="validation (%)")
    first = next(iter(metrics))
    best = max((row[first] for row in rows if first in row), default=None)
    if best is not None:
        value.set_title(f"best {100 * best:.2f} %", fontsize=10)
    for axes in (loss, value):
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title, fontsize=10)
    return save_figure(figure, path, 120)


def _draw(
    axes: Any, rows: Sequence[Mapping[str, float]], key: str, label: str, colour: str,
    scale: float = 1.0,
) -> None:  # fmt: skip
    points = [(row["epoch"] + 1, scale * row[key]) for row in rows if key in row]
    if points:
        x, y = np.asarray(points).T
        axes.plot(x, y, color=colour, label=label, marker="." if len(x) < _DOTTED else "")


def _loss_limit(rows: Sequence[Mapping[str, float]]) -> float:
    """Return the top of the loss axis: early validation losses can be a thousand times the rest."""
    train = [row["train/loss"] for row in rows if "train/loss" in row]
    val = [row["val/loss"] for row in rows if "val/loss" in row]
    return 1.15 * max([*train, float(np.median(val)) if val else 0.0], default=0.0)


def save_samples(
    x: Tensor, labels: Sequence[str], mean: Sequence[float], std: Sequence[float], path: Path
) -> Path:
    """Save a grid of normalised inputs ``(N, C, S, S)`` with their labels, as the network sees them."""
    columns = min(8, len(x))
    rows = -(-len(x) // columns)
    size, gap = x.shape[-1], max(1, x.shape[-1] // 16)
    title = gap + max(2, size // 6)
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
        axes.text(left + size / 2, top - 1, label[:16], ha="center", va="bottom", fontsize=7)
    axes.imshow(sheet)
    return save_figure(figure, path, 110)
