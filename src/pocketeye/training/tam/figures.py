"""Images of a tracker's training: what it answered in validation, and its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from pocketeye.results.figures import TRAIN_COLOUR, VAL_COLOUR, make_figure
from pocketeye.runs import RunFolder
from pocketeye.training.tam.task import Shown, TamTraining

STRIP = "validation.png"
_ROWS, _SIDE = 6, 128
_ANSWER, _TRUTH = (255, 140, 0), (0, 255, 120)


class SaveStrip(Callback):
    """``validation.png`` after every epoch: the first objects of validation, a row each."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TamTraining)
        if trainer.is_global_zero and pl_module.shown is not None:
            save_strip(pl_module.shown, self.run / STRIP)


def save_strip(shown: Shown, path: Path) -> Path:
    """A row for each of the first objects: its frames, the answer tinted, the truth outlined."""
    batch = shown.batch
    by_frame = {said.frame: said.mask.float() for said in shown.answers}
    rows = []
    for number in range(min(_ROWS, len(batch.masks))):
        tiles = []
        for frame in range(batch.frames.shape[1]):
            pixels = batch.frames[batch.clip_of[number], frame][None].float()
            pixels = F.interpolate(pixels, size=(_SIDE, _SIDE), mode="area")[0]
            answer = by_frame[frame][number : number + 1] if frame in by_frame else None
            tiles.append(_tile(pixels, batch.masks[number, frame], answer))
        rows.append(np.concatenate(tiles, 1))
    partial = path.with_name(f".{path.name}.partial")
    Image.fromarray(np.concatenate(rows)).save(partial, "PNG")
    partial.replace(path)
    return path


def _tile(pixels: torch.Tensor, truth: torch.Tensor, answer: torch.Tensor | None) -> np.ndarray:
    tile = pixels.permute(1, 2, 0).cpu().numpy().copy()
    if answer is not None:
        logits = F.interpolate(answer, size=(_SIDE, _SIDE), mode="bilinear")[0, 0]
        inside = (logits > 0).cpu().numpy()
        tile[inside] = 0.5 * tile[inside] + 0.5 * np.asarray(_ANSWER)
    shown = F.interpolate(truth[None, None].float(), size=(_SIDE, _SIDE))
    edge = F.max_pool2d(shown, 3, 1, 1) != shown
    tile[edge[0, 0].cpu().numpy()] = _TRUTH
    return tile.round().astype(np.uint8)


def save_tracker_curves(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> Path:
    """Loss and validation IoU by epoch, from the rows of ``metrics.csv``."""
    figure = make_figure(8, 3.2)
    loss, iou = figure.subplots(1, 2)
    for key, label, colour in (
        ("train/loss", "training", TRAIN_COLOUR), ("val/loss", "validation", VAL_COLOUR),
    ):  # fmt: skip
        _draw(loss, rows, key, label, colour)
    _draw(iou, rows, "val/iou", "first answer", VAL_COLOUR, 100)
    _draw(iou, rows, "val/iou_corrected", "corrected", TRAIN_COLOUR, 100)
    loss.set(xlabel="epoch", ylabel="loss")
    iou.set(xlabel="epoch", ylabel="validation IoU (%)")
    best = max((row["val/iou"] for row in rows if "val/iou" in row), default=None)
    if best is not None:
        iou.set_title(f"best {100 * best:.1f} %", fontsize=10)
    for axes in (loss, iou):
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return path


def _draw(
    axes: Any, rows: Sequence[Mapping[str, float]], key: str, label: str, colour: str,
    scale: float = 1.0,
) -> None:  # fmt: skip
    points = [(row["epoch"] + 1, scale * row[key]) for row in rows if key in row]
    if points:
        x, y = np.asarray(points).T
        axes.plot(x, y, color=colour, label=label, marker="." if len(x) < 20 else "")
