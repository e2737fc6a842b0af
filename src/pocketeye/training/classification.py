"""The classification task: loss, moving average, optimiser and schedule around any timm network."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from timm.data import Mixup
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from pocketeye.training.config import TrainConfig
from pocketeye.training.data import IGNORED


class ClassificationTask(LightningModule):
    """Trains ``model`` on batches of (``(N, C, S, S)`` float32, ``(N,)`` int64).

    Logs ``train/loss``, ``lr`` (largest of the epoch), ``val/loss`` and ``val/top1`` (0 to 1). With
    ``ema_decay`` the averaged weights are validated.
    """

    def __init__(self, model: nn.Module, config: TrainConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.layout = layout
        self.model = model.to(memory_format=layout)  # type: ignore[call-overload]
        self.ema: ModelEmaV3 | None = None
        if config.ema_decay:
            self.ema = ModelEmaV3(model, decay=config.ema_decay, use_warmup=True)
            self.ema.module.requires_grad_(False)
            # of use for bf16 weights only, and not to be pickled for spawned processes
            self.ema._sr_generator = None  # type: ignore[assignment]
        self.mixup: Mixup | None = None
        self.loss: nn.Module = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        if config.mixup or config.cutmix:
            self.mixup = Mixup(
                mixup_alpha=config.mixup,
                cutmix_alpha=config.cutmix,
                label_smoothing=config.label_smoothing,
                num_classes=num_classes,
            )
            self.loss = SoftTargetCrossEntropy()

    @property
    def best_model(self) -> nn.Module:
        """The network that gets validated and saved."""
        return self.model if self.ema is None else self.ema.module

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, y = batch
        if self.mixup is not None:
            x, y = self.mixup(x.clone(), y)
        x = x.contiguous(memory_format=self.layout)
        loss: Tensor = self.loss(self.model(x), y)
        self.log(
            "train/loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(x)
        )
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log("lr", rate, on_step=False, on_epoch=True, reduce_fx="max", batch_size=len(x))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.ema is not None:
            self.ema.update(self.model, step=self.global_step)

    def on_validation_epoch_start(self) -> None:
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        self.sums = torch.zeros(3, dtype=dtype, device=self.device)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        x, y = batch
        logits = self.best_model(x.contiguous(memory_format=self.layout)).float()
        loss = F.cross_entropy(logits, y, ignore_index=IGNORED, reduction="sum")
        correct, count = (logits.argmax(1) == y).sum(), (y != IGNORED).sum()
        self.sums += torch.stack([loss, correct, count])

    def on_validation_epoch_end(self) -> None:
        # not by self.log: Lightning 2.6 rounds the mean of the processes' batch sizes
        sums = self.trainer.strategy.reduce(self.sums, reduce_op="sum")
        assert isinstance(sums, Tensor)
        loss, correct, count = sums.tolist()
        self.log_dict({"val/loss": loss / count, "val/top1": correct / count})

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = create_optimizer_v2(
            self.model,
            opt=config.optimizer,
            lr=config.lr,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = LambdaLR(optimizer, learning_rate_factor(config, steps))
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def learning_rate_factor(config: TrainConfig, steps: int) -> Callable[[int], float]:
    """Factor of the peak learning rate at a step: linear warm-up, then cosine or steps."""
    steps_per_epoch = max(steps, 1) / config.epochs
    warmup = min(config.warmup_epochs * steps_per_epoch, 0.5 * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return 0.01 + 0.99 * step / warmup
        if config.schedule == "step":
            return config.gamma ** sum(step >= m * steps_per_epoch for m in config.milestones)
        done = (step - warmup) / max(steps - warmup, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return factor
