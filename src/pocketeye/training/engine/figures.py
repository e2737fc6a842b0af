"""Images of a run, drawn with matplotlib's objects (no global state, no display)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pocketeye.results.figures import TRAIN_COLOUR, VAL_COLOUR, make_figure


def save_curves(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> Path:
    """Loss and top-1 by epoch, from the rows of ``metrics.csv``."""
    figure = make_figure(8, 3.2)
    loss, top1 = figure.subplots(1, 2)
    for axes, key, label, colour in (
        (loss, "train/loss", "training", TRAIN_COLOUR),
        (loss, "val/loss", "validation", VAL_COLOUR),
        (top1, "val/top1", "validation", VAL_COLOUR),
    ):
        points = [(row["epoch"] + 1, row[key]) for row in rows if key in row]
        scale = 100.0 if key == "val/top1" else 1.0
        if points:
            x, y = np.asarray(points).T
            axes.plot(x, y * scale, color=colour, label=label, marker="." if len(x) < 20 else "")
    loss.set(xlabel="epoch", ylabel="loss")
    loss.legend(frameon=False)
    if high := _loss_limit(rows):
        loss.set_ylim(0, high)
    top1.set(xlabel="epoch", ylabel="validation top-1 (%)")
    best = max((row["val/top1"] for row in rows if "val/top1" in row), default=None)
    if best is not None:
        top1.set_title(f"best {100 * best:.2f} %", fontsize=10)
    for axes in (loss, top1):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path


def _loss_limit(rows: Sequence[Mapping[str, float]]) -> float:
    """Top of the loss axis: early validation losses can be a thousand times the rest."""
    train = [row["train/loss"] for row in rows if "train/loss" in row]
    val = [row["val/loss"] for row in rows if "val/loss" in row]
    return 1.15 * max([*train, float(np.median(val)) if val else 0.0], default=0.0)


def save_samples(
    x: Tensor, labels: Sequence[str], mean: Sequence[float], std: Sequence[float], path: Path
) -> Path:
    """A grid of normalised inputs ``(N, C, S, S)`` with their labels: what the network really sees."""
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
    figure.savefig(path, dpi=110)
    return path
