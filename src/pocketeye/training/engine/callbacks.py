"""Define callbacks of the shared loop."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import DDPStrategy

from pocketeye import progress
from pocketeye.errors import InvalidValue

# Steps between two looks at the loss.
# Often enough to stop soon, rarely enough not to hold a GPU up.
_LOOKS = 25
LOGGERS = ("lightning.pytorch", "lightning.fabric", "torch.multiprocessing.spawn")


def hush() -> None:
    """Silence what Lightning says of its own accord; the caller restores."""
    for name in LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.(pytorch|fabric)")
    # raised inside torch by the way Lightning calls it
    warnings.filterwarnings("ignore", message=r".*lr_scheduler\.step\(\).*before.*optimizer\.step")
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\)")


class QuietDDP(DDPStrategy):
    """Keep Lightning quiet in spawned processes too, which start with its defaults."""

    def setup_environment(self) -> None:
        hush()
        super().setup_environment()


class FiniteLoss(Callback):
    """Stop when the loss or a weight is not a number; weights saved before stay."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        # reading the loss waits for an accelerator, so there it is read now and then
        every = 1 if pl_module.device.type == "cpu" else _LOOKS
        last = trainer.is_last_batch
        if isinstance(loss, torch.Tensor) and (last or batch_idx % every == 0):
            value = float(loss.detach().sum())
            if not math.isfinite(value):
                raise InvalidValue(
                    # Said with what is kept: the reader wants to know what is lost.
                    f"the loss became {value} in epoch {trainer.current_epoch + 1}, step "
                    f"{batch_idx + 1}: {_kept(trainer)}; try a lower --lr, more warm-up epochs or fp32"
                )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # before anything of this epoch is written
        for name, values in _weights(pl_module):
            if not bool(torch.isfinite(values).all()):
                raise InvalidValue(
                    f"the weights became infinite in epoch {trainer.current_epoch + 1} ({name}): "
                    f"{_kept(trainer)}; try a lower --lr or more warm-up epochs"
                )


def _kept(trainer: Trainer) -> str:
    if trainer.current_epoch == 0:
        return "it was the first epoch, so no weights are kept"
    return f"the weights of epoch {trainer.current_epoch} are kept"


def _weights(module: LightningModule) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield parameters and the running statistics of norms, with their names."""
    yield from module.named_parameters()
    for name, values in module.named_buffers():
        # A broken statistic breaks evaluation, though no parameter shows it.
        if name.endswith(("running_mean", "running_var")):
            yield name, values


class Closing(Callback):
    """Close what was opened, however the training ends."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it; of no effect where nothing is open."""
        raise NotImplementedError


class Progress(Closing):
    """Feed ``pocketeye.progress``: one bar over all steps."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.task: progress.Task | None = None
        self.stack: ExitStack | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # One bar, not one a process.
        if not trainer.is_global_zero:
            return
        batches, epochs = float(trainer.num_training_batches), trainer.max_epochs
        total = batches * epochs if epochs and math.isfinite(batches) else None
        self.stack = ExitStack()
        self.task = self.stack.enter_context(progress.task(self.description, total))
        # A run that goes on begins where it was.
        if total is not None and trainer.current_epoch:
            self.task.advance(batches * trainer.current_epoch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.task is None:
            return
        self.task.advance()
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        # Reading the loss waits for an accelerator: now and then is enough.
        if batch_idx % _LOOKS == 0 and isinstance(loss, torch.Tensor):
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self.task.note(f"{epoch} loss {float(loss.detach().sum()):.3f}")

    def close(self) -> None:
        if self.stack is not None:
            self.stack.close()
        self.stack = self.task = None
