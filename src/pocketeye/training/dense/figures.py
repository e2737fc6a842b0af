"""``validation.png`` of a detector's or segmenter's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image, ImageDraw

from pocketeye.data.semantic.class_maps import IGNORE
from pocketeye.results.colors import color_of
from pocketeye.runs import ANSWERS, RunFolder
from pocketeye.training.dense.task import MASK_THRESHOLD, DenseTraining, DetectionTask

_COLUMNS, _WIDTH = 4, 300  # pixels of a tile; four make a row of 1,200
_MOST_HEIGHT = 4 * _WIDTH  # of 2x900 pixels a tile would be 135,000 high
_SURE = 0.3  # lower scores are many, and hide the image
_TRUTH = (0, 220, 110)


class SaveDenseImage(Callback):
    """Save ``validation.png`` after every epoch: some images, their answers and the truth."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, DenseTraining)
        if trainer.is_global_zero and pl_module.shown:
            draw = _detections if isinstance(pl_module, DetectionTask) else _labels
            save_tiles([draw(item, found) for item, found in pl_module.shown], self.run / ANSWERS)


def save_tiles(tiles: Sequence[Image.Image], path: Path) -> Path:
    """Save images of one width, in rows."""
    rows = [tiles[k : k + _COLUMNS] for k in range(0, len(tiles), _COLUMNS)]
    heights = [max(tile.height for tile in row) for row in rows]
    sheet = Image.new("RGB", (_COLUMNS * _WIDTH, sum(heights)), "white")
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (column * _WIDTH, top))
        top += height
    partial = path.with_name(f".{path.name}.partial")
    sheet.save(partial, "PNG")
    partial.replace(path)
    return path


def tile_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return width and height of the tile of an image; one much higher than wide is made shorter."""
    height = round(size[1] * _WIDTH / size[0])
    return _WIDTH, min(max(height, 1), _MOST_HEIGHT)


def _detections(item: Any, found: Mapping[str, np.ndarray]) -> Image.Image:
    """Draw the truth in green, and what was found in the colours of its classes."""
    image = Image.fromarray(item.image.permute(1, 2, 0).cpu().numpy())
    keep = np.flatnonzero(found["scores"] >= _SURE)
    if "masks" in found:
        pixels = np.asarray(image).astype(np.float32)
        for k in keep:
            inside = found["masks"][k, 0] > MASK_THRESHOLD
            pixels[inside] = 0.5 * pixels[inside] + 0.5 * np.asarray(_colour(found["labels"][k]))
        image = Image.fromarray(pixels.round().astype(np.uint8))
    tile = image.resize(tile_size(image.size), Image.Resampling.BILINEAR)
    scale = np.tile(np.divide(tile.size, image.size), 2)
    draw = ImageDraw.Draw(tile)
    for box in item.boxes.cpu().numpy():
        draw.rectangle((box * scale).tolist(), outline=_TRUTH, width=1)
    for k in keep:
        box = (found["boxes"][k] * scale).tolist()
        draw.rectangle(box, outline=_colour(found["labels"][k]), width=2)
    return tile


def _labels(item: Any, guess: np.ndarray) -> Image.Image:
    """Draw image, answer and truth below each other."""
    truth = item.labels.cpu().numpy()
    size = tile_size((truth.shape[1], truth.shape[0]))
    image = Image.fromarray(item.image.permute(1, 2, 0).cpu().numpy()).resize(size)
    maps = [_painted(np.where(truth == IGNORE, IGNORE, guess)), _painted(truth)]
    tiles = [image, *(Image.fromarray(m).resize(size, Image.Resampling.NEAREST) for m in maps)]
    return Image.fromarray(np.concatenate([np.asarray(tile) for tile in tiles]))


def _painted(labels: np.ndarray) -> np.ndarray:
    table = np.zeros((IGNORE + 1, 3), np.uint8)
    for label in range(IGNORE):
        table[label] = _colour(label)
    return np.asarray(table[labels])


def _colour(label: int) -> tuple[int, int, int]:
    return color_of(int(label) + 1)
