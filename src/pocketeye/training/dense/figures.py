"""Draw ``validation.png`` of a detector's or segmenter's run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from pocketeye.data import IGNORE
from pocketeye.metrics import found_objects, match, true_objects
from pocketeye.metrics.semantic import MeanIoU, mean_iou_of
from pocketeye.predicting.evaluation.worst_images import (
    WorstDetection,
    WorstMap,
    detection_sheet,
    map_sheet,
)
from pocketeye.results.masks import Masks
from pocketeye.results.result import save_image
from pocketeye.runs import ANSWERS, RunFolder
from pocketeye.training.dense.task import MASK_THRESHOLD, DenseTraining, DetectionTask
from pocketeye.training.engine import SURE


class SaveDenseImage(Callback):
    """Save ``validation.png`` after every epoch: some images, the truth beside what was found."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, DenseTraining)
        # The first process alone: all have the same weights, and one file is written.
        if trainer.is_global_zero and pl_module.shown:
            title = (
                f"{self.run.path.name}: validation after epoch {trainer.current_epoch + 1} of "
                f"{trainer.max_epochs}"
            )
            draw = detections if isinstance(pl_module, DetectionTask) else labels
            save_image(draw(pl_module, title), self.run / ANSWERS)


def detections(task: DenseTraining, title: str) -> Image.Image:
    """Draw true objects beside those that were found."""
    names = task.val.classes
    rows = [_objects(task, item, found) for item, found in task.shown]
    return detection_sheet(rows, names, title, SURE, columns=1)  # read inside a report


def _objects(task: DenseTraining, item: Any, found: Mapping[str, np.ndarray]) -> WorstDetection:
    """Return an image with its objects, those found only as far as they are sure."""
    said = found_objects(
        found["boxes"], found["labels"], found["scores"], _masks(found.get("masks"), item)
    )
    masks = None if item.masks is None else Masks.from_dense(item.masks.cpu().numpy() > 0)
    true = true_objects(item.boxes.cpu().numpy(), item.labels.cpu().numpy(), masks=masks)
    sure = said.above(SURE)
    right = int((match(true, sure).hits >= 0).sum())
    text = f"{right} of {len(true)} found, {len(sure) - right} wrong"
    return WorstDetection(
        sentence=f"{task.val.name(item.number)}: {text}",
        image=_pixels(item),
        truth=true,
        found=sure,
    )


def _masks(masks: np.ndarray | None, item: Any) -> Masks | None:
    """Return what was outlined; ``masks`` are probabilities ``(N, 1, height, width)``."""
    if masks is None:
        return None
    # No object has no mask to stack, but still a size.
    if not len(masks):
        height, width = item.image.shape[1:]
        return Masks(size=(width, height))
    return Masks.from_dense(masks[:, 0] > MASK_THRESHOLD)


def labels(task: DenseTraining, title: str) -> Image.Image:
    """Draw true classes of pixels beside those that were said, and the mistakes."""
    names = task.val.classes
    rows = [_labelled(task, item, guess) for item, guess in task.shown]
    return map_sheet(rows, names, title, columns=1)


def _labelled(task: DenseTraining, item: Any, guess: np.ndarray) -> WorstMap:
    truth = item.labels.cpu().numpy()
    size = (truth.shape[1], truth.shape[0])
    counts = MeanIoU(task.val.classes, IGNORE).update(guess, truth)
    total = int(counts.sum())
    return WorstMap(
        name=task.val.name(item.number),
        miou=mean_iou_of(counts),
        accuracy=float(np.trace(counts) / total) if total else float("nan"),
        image=np.asarray(Image.fromarray(_pixels(item)).resize(size)),
        truth=truth,
        # What is ignored in the truth would look like a mistake.
        found=np.where(truth == IGNORE, IGNORE, guess),
    )


def _pixels(item: Any) -> np.ndarray:
    return np.asarray(item.image.permute(1, 2, 0).cpu().numpy())
