"""Define the Lightning tasks of detectors and of segmenters."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pocketeye.data import IGNORE, DetectionSet, SemanticSet
from pocketeye.metrics import CocoAP, MeanIoU
from pocketeye.models.dense.described import DenseDescription, DenseNetwork
from pocketeye.models.dense.preprocess import label_map, normalised
from pocketeye.models.dense.semantic_fpn import SemanticFPN
from pocketeye.training.dense.data import DetectionItem, SemanticItem
from pocketeye.training.dense.optim import make_dense_optimizer
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.schedule import dense_learning_rate_factor
from pocketeye.training.engine import NUM_FOUND, NUM_OBJECTS, SURE, AveragedTask, scheduled, shares

MASK_THRESHOLD = 0.5  # a pixel is the object's where that is likelier than not
_DRAWN = 8  # images of a validation: two rows of four


class DenseTraining(AveragedTask):
    """Hold what detectors and segmenters share: optimiser, schedule, the averaged weights.

    Attributes:
        shown: some images of a validation with what was said of them, to be drawn.
    """

    val: DetectionSet | SemanticSet

    def __init__(
        self, model: DenseNetwork, config: DenseRecipe, steps_per_epoch: int, num_val: int
    ) -> None:
        if config.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        super().__init__(model, config.ema_decay, config.ema_warmup)
        self.config, self.steps = config, steps_per_epoch
        self.shown: list[tuple[Any, Any]] = []
        # Spread over the set: the first images are often of one scene.
        self.drawn = set(np.linspace(0, num_val - 1, _DRAWN).round().astype(int).tolist())

    def configure_optimizers(self) -> Any:
        optimizer = make_dense_optimizer(self.model, self.config)
        return scheduled(optimizer, dense_learning_rate_factor(self.config, self.steps))

    def gathered_objects(self, mine: Any) -> list[Any]:
        """Return the object of every process, in order."""
        if self.trainer.world_size == 1:
            return [mine]
        # Objects, not tensors: results of images differ in length.
        found: list[Any] = [None] * self.trainer.world_size
        torch.distributed.all_gather_object(found, mine)
        return found

    @abstractmethod
    def training_step(self, batch: Any, batch_idx: int) -> Tensor: ...


class DetectionTask(DenseTraining):
    """Train RetinaNet or Mask R-CNN on lists of :class:`DetectionItem`.

    Logs ``train/loss`` and its parts, ``val/ap`` and ``val/ap50`` (COCO's, 0 to 1): of boxes, and for
    ``instance`` of masks, with ``val/box_ap`` beside them; nan where no object is true. Beside them the
    numbers of objects of :mod:`pocketeye.training.engine.reporting.judging`.
    """

    val: DetectionSet

    def __init__(
        self, model: DenseNetwork, config: DenseRecipe, steps_per_epoch: int, val: DetectionSet
    ) -> None:
        super().__init__(model, config, steps_per_epoch, len(val))
        self.val, self.masks = val, config.record.outlines_objects

    def training_step(self, batch: list[DetectionItem], batch_idx: int) -> Tensor:
        parts = self.model([item.image / 255 for item in batch], [_target(item) for item in batch])
        loss = torch.stack(list(parts.values())).sum()
        named = {f"train/{name.removeprefix('loss_')}": part for name, part in parts.items()}
        self.log_step({"train/loss": loss, **named}, len(batch))
        return loss

    def on_validation_epoch_start(self) -> None:
        self.metric = CocoAP(self.val.classes, masks=self.masks)
        self.shown = []

    def validation_step(self, batch: list[DetectionItem], batch_idx: int) -> None:
        if not batch:  # nothing but damaged images
            return
        answers = self._answers([item.image / 255 for item in batch])
        for item, answer in zip(batch, answers, strict=True):
            sample = self.val.targets(item.number)
            key = item.number
            truth = sample.masks() if self.masks else None
            self.metric.add_truth(
                key, sample.boxes, sample.labels, crowd=sample.crowd, difficult=sample.difficult,
                areas=sample.areas, masks=truth,
            )  # fmt: skip
            # a GPU's memory is for the network
            found = {name: value.float().cpu().numpy() for name, value in answer.items()}
            masks = found["masks"][:, 0] > MASK_THRESHOLD if self.masks else None
            self.metric.update(key, found["boxes"], found["labels"], found["scores"], masks)
            if item.number in self.drawn:
                self.shown.append((item, found))

    def _answers(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """Answer at the size of use; torchvision would take the last size of training."""
        model: Any = self.best_model.eval()
        of_training = model.transform.min_size
        model.transform.min_size = (self.config.input_size,)
        try:
            return model(images)  # type: ignore[no-any-return]
        finally:
            model.transform.min_size = of_training

    def on_validation_epoch_end(self) -> None:
        first, *others = self.gathered_objects(self.metric)
        # Each process has judged its own images.
        for other in others:
            first.merge(other)
        values = first.compute()
        kind = "mask" if self.masks else "box"
        logged = {"val/ap": values[f"{kind}_ap"], "val/ap50": values[f"{kind}_ap50"]}
        if self.masks:
            logged["val/box_ap"] = values["box_ap"]
        scores = [found.scores for found in first.found.values()]
        logged[NUM_FOUND] = float(sum((each >= SURE).sum() for each in scores))
        true = [np.count_nonzero(~truth.crowd) for truth in first.truths.values()]
        logged[NUM_OBJECTS] = float(sum(true))
        self.log_dict(logged)


class SemanticTask(DenseTraining):
    """Train Semantic FPN on uint8 crops ``(B, 3, S, S)`` with labels ``(B, S, S)``.

    Logs ``train/loss`` (cross entropy of the pixels that have a class), ``val/miou`` and
    ``val/accuracy`` (0 to 1), where logits are brought to the size of the labels.
    """

    model: SemanticFPN
    val: SemanticSet

    def __init__(
        self, model: DenseNetwork, config: DenseRecipe, steps_per_epoch: int, val: SemanticSet,
        described: DenseDescription,
    ) -> None:  # fmt: skip
        super().__init__(model, config, steps_per_epoch, len(val))
        self.val, self.described = val, described

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        if self.config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        logits = self.model(normalised(images, self.described))
        loss = pixel_loss(logits, labels)
        self.log_step({"train/loss": loss}, len(images))
        return loss

    def on_validation_epoch_start(self) -> None:
        self.metric = MeanIoU(self.val.classes, IGNORE)
        self.shown = []

    def validation_step(self, batch: list[SemanticItem], batch_idx: int) -> None:
        model = self.best_model.eval()
        assert isinstance(model, SemanticFPN)
        for item in batch:
            # no class is above 255, and eight times less memory
            guess = label_map(model, item.image, self.described).to(torch.uint8)
            self.metric.update(guess.cpu(), item.labels.cpu())
            if item.number in self.drawn:
                self.shown.append((item, guess.cpu().numpy()))

    def on_validation_epoch_end(self) -> None:
        confusions = self.gathered_objects(self.metric.confusion)
        self.metric.confusion = np.sum(confusions, 0)
        report = self.metric.report()
        confusion = report.confusion
        alike = shares(confusion.sum(axis=1), confusion.sum(axis=0))
        self.log_dict({"val/miou": report.miou, "val/accuracy": report.accuracy, **alike})


def pixel_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross entropy of ``(N, K, H, W)`` with uint8 ``(N, H, W)``.

    It is 0 where no pixel has a class.
    """
    wanted = labels.long()
    loss = nn.functional.cross_entropy(logits.float(), wanted, ignore_index=IGNORE, reduction="sum")
    # Clamped: a crop without a class has a loss of 0, not NaN.
    return loss / (wanted != IGNORE).sum().clamp(min=1)


def _target(item: DetectionItem) -> dict[str, Tensor]:
    target = {"boxes": item.boxes, "labels": item.labels}
    if item.masks is not None:
        target["masks"] = item.masks.to(torch.uint8)  # as torchvision takes them
    return target
