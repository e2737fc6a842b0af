"""Define the classification task: loss, moving average, optimiser, schedule around any timm network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from torch import Tensor, nn
from torch.nn import functional as F

from pocketeye.data.loaders.images import IGNORED
from pocketeye.predicting.info import ModelInfo
from pocketeye.training.classify.distill import Teacher, distilled_loss
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.schedule import learning_rate_factor
from pocketeye.training.engine import AveragedTask, create_optimizer, scheduled, shares


class ClassificationTask(AveragedTask):
    """Train ``model`` on batches of (``(N, C, S, S)`` float32, ``(N,)`` int64).

    Logs ``train/loss``, ``lr`` (largest of the epoch), ``val/loss`` and ``val/top1`` (0 to 1),
    and the shares of :mod:`pocketeye.training.engine.reporting.judging`. With
    ``ema_decay`` the averaged weights are validated. With a teacher ``train/loss`` is the blend; the
    second head of a student that has one learns from the teacher, else the only one from both.

    Args:
        model: the student.
        config: the recipe.
        info: the student's, for the number of classes and what a teacher sees.
        teacher: no part of the module: neither saved nor trained.
    """

    def __init__(
        self,
        model: nn.Module,
        config: ClassifyRecipe,
        info: ModelInfo,
        teacher: Teacher | None = None,
    ) -> None:
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        if teacher is not None and has_distilled_head(model):
            model.set_distilled_training(True)  # type: ignore[operator]
        # NHWC: faster on a CPU, and for half precision on a GPU.
        model = model.to(memory_format=layout)  # type: ignore[call-overload]
        super().__init__(model, config.ema_decay, config.ema_warmup)
        self.config, self.info, self.teacher, self.layout = config, info, teacher, layout
        self.mixup: Mixup | None = None
        # Mixed labels are soft: they need another loss, which smooths by itself.
        self.loss: nn.Module = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        if config.mixup or config.cutmix:
            self.mixup = Mixup(
                mixup_alpha=config.mixup,
                cutmix_alpha=config.cutmix,
                prob=config.mixup_prob,
                switch_prob=config.mixup_switch_prob,
                label_smoothing=config.label_smoothing,
                num_classes=info.num_classes,
            )
            self.loss = SoftTargetCrossEntropy()

    def on_fit_start(self) -> None:
        if self.teacher is not None:
            self.teacher.to(self.device, self.layout)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        if self.mixup is not None:
            # A copy: Mixup writes into its batch, and the loader's memory may be shared.
            x, y = self.mixup(x.clone(), y)
        x = x.contiguous(memory_format=self.layout)
        loss = self._loss(x, y)
        self.log_step({"train/loss": loss}, len(x))
        return loss

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        outputs = self.model(x)
        # In training a second head answers too: the student of the teacher.
        logits, student = outputs if isinstance(outputs, tuple) else (outputs, outputs)
        loss: Tensor = self.loss(logits, y)
        if self.teacher is None or self.config.distill == "none":
            return loss
        return distilled_loss(
            loss, student, self.teacher.logits(x, self.info), kind=self.config.distill,
            alpha=self.config.distill_alpha, tau=self.config.distill_tau,
        )  # fmt: skip

    def on_validation_epoch_start(self) -> None:
        # Three sums, and counts of each class of truth and answers.
        self.sums = self.zeros(3 + 2 * self.info.num_classes)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self.best_model(x.contiguous(memory_format=self.layout)).float()
        # A sum, not a mean: the last batch is smaller than the others.
        loss = F.cross_entropy(logits, y, ignore_index=IGNORED, reduction="sum")
        seen, num_classes = y != IGNORED, self.info.num_classes
        # The largest of numbers that are none is no answer, though argmax names one.
        answered, answers = logits.isfinite().all(1), logits.argmax(1)
        correct, count = (answered & (answers == y)).sum(), seen.sum()
        said = (
            labels.bincount(minlength=num_classes) for labels in (y[seen], answers[seen & answered])
        )
        self.sums += torch.cat([torch.stack([loss, correct, count]), *said])

    def on_validation_epoch_end(self) -> None:
        loss, correct, count, *said = self.gathered(self.sums)
        # NaN tells callers that nothing was judged; 0 would look like a bad network.
        if not count:  # not one image of validation could be read
            self.log_dict({"val/loss": math.nan, "val/top1": math.nan})
            return
        true, answers = np.asarray(said).reshape(2, -1)
        self.log_dict(
            {"val/loss": loss / count, "val/top1": correct / count, **shares(true, answers)}
        )

    def configure_optimizers(self) -> Any:
        optimizer = create_optimizer(self.model, self.config)
        steps = int(self.trainer.estimated_stepping_batches)
        return scheduled(optimizer, learning_rate_factor(self.config, steps))


def has_distilled_head(model: nn.Module) -> bool:
    """Return whether a network has a second head for a teacher, under the names of timm's DeiT."""
    named = any(name.rpartition(".")[2] == "head_dist" for name, _ in model.named_modules())
    return named and hasattr(model, "set_distilled_training")
