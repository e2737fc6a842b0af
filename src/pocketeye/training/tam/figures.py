"""Draw ``validation.png`` of a tracker's run: what it answered in validation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from pocketeye.results.result import save_image
from pocketeye.results.sheet import SheetRow, draw_sheet, with_note
from pocketeye.runs import ANSWERS, RunFolder
from pocketeye.training.tam.task import Shown, TamTraining

_ROWS, _SIDE = 6, 128  # pixels of a tile: six rows of eight frames fit on a page
_ANSWER, _TRUTH = (255, 140, 0), (0, 255, 120)


class SaveStrip(Callback):
    """Save ``validation.png`` after every epoch: the first objects of validation, a row each."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, TamTraining)
        if trainer.is_global_zero and pl_module.shown is not None:
            title = (
                f"{self.run.path.name}: validation after epoch {trainer.current_epoch + 1} of "
                f"{trainer.max_epochs}. Orange: found; green line: true."
            )
            save_image(draw_strip(pl_module.shown, title), self.run / ANSWERS)


def draw_strip(shown: Shown, title: str) -> Image.Image:
    """Draw a row for each of the first objects: its frames, the answer tinted, the truth outlined."""
    batch = shown.batch
    by_frame = {said.frame: said.mask.float() for said in shown.answers}
    num_frames = batch.frames.shape[1]
    rows = []
    for number in range(min(_ROWS, len(batch.masks))):
        tiles = []
        for frame in range(num_frames):
            pixels = batch.frames[batch.clip_of[number], frame][None].float()
            pixels = F.interpolate(pixels, size=(_SIDE, _SIDE), mode="area")[0]
            answer = by_frame[frame][number : number + 1] if frame in by_frame else None
            tiles.append(_tile(pixels, batch.masks[number, frame], answer))
        rows.append(SheetRow(text=f"object {number + 1}", images=tiles))
    heads = [f"frame {frame}" for frame in range(num_frames)]
    return draw_sheet(rows, title=title, heads=heads, columns=1)


def _tile(pixels: torch.Tensor, truth: torch.Tensor, answer: torch.Tensor | None) -> Image.Image:
    tile = pixels.permute(1, 2, 0).cpu().numpy().copy()
    if answer is not None:
        logits = F.interpolate(answer, size=(_SIDE, _SIDE), mode="bilinear")[0, 0]
        inside = (logits > 0).cpu().numpy()
        tile[inside] = 0.5 * tile[inside] + 0.5 * np.asarray(_ANSWER)
    shown = F.interpolate(truth[None, None].float(), size=(_SIDE, _SIDE))
    # A pixel whose neighbourhood goes further than itself lies just outside of the object.
    edge = F.max_pool2d(shown, 3, 1, 1) != shown
    tile[edge[0, 0].cpu().numpy()] = _TRUTH
    drawn = Image.fromarray(tile.round().astype(np.uint8))
    if answer is not None and not bool((answer > 0).any()):
        return with_note(drawn, "nothing found")
    return drawn
