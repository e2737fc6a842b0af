"""Give every task a network in the layout that suits its device, and the average of its weights."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule
from timm.utils import ModelEmaV3
from torch import nn


class AveragedTask(LightningModule):
    """Keep a moving average of the weights beside the network, where ``ema_decay`` asks for one.

    Args:
        model: the network to train.
        ema_decay: per step of the optimiser, 0 for none.
        ema_warmup: let the decay rise to ``ema_decay``.
    """

    def __init__(self, model: nn.Module, ema_decay: float, ema_warmup: bool) -> None:
        super().__init__()
        self.model = model
        self.ema_warmup = ema_warmup
        self.ema: ModelEmaV3 | None = None
        if ema_decay:
            self.ema = ModelEmaV3(model, decay=ema_decay, use_warmup=ema_warmup)
            # The average is never trained by gradients.
            self.ema.module.requires_grad_(False)
            # of use for bf16 weights only, and not to be pickled for spawned processes
            self.ema._sr_generator = None  # type: ignore[assignment]

    @property
    def best_model(self) -> nn.Module:
        """Return the network that gets validated and saved."""
        return self.model if self.ema is None else self.ema.module

    def on_train_start(self) -> None:
        # After a resume steps are counted from the checkpoint's.
        self.averaged_step = self.global_step

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        # with accumulation most batches take no step
        if self.ema is not None and self.global_step != self.averaged_step:
            self.averaged_step = self.global_step
            self.ema.update(self.model, self.global_step if self.ema_warmup else None)

    def log_step(self, values: dict[str, Any], batch_size: int) -> None:
        """Log the means of the epoch, and ``lr``: the epoch's largest, of the first parameter group."""
        for name, value in values.items():
            self.log(
                name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=batch_size
            )
        # The largest of an epoch: its mean would hide a warm-up within it.
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.log("lr", rate, on_step=False, on_epoch=True, reduce_fx="max", batch_size=batch_size)

    def zeros(self, count: int) -> torch.Tensor:
        # MPS has no float64.
        """Return ``count`` zeros for sums to be gathered, in float64 where the device has it."""
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return torch.zeros(count, dtype=dtype, device=self.device)

    def gathered(self, sums: torch.Tensor) -> list[float]:
        """Return the sums over all processes.

        Not by ``self.log``: Lightning 2.6 rounds the mean of the processes' batch sizes.
        """
        total = self.trainer.strategy.reduce(sums, reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        values: list[float] = total.tolist()
        return values
