"""Write the numbers of every epoch for TensorBoard, where a training is asked for them."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from pocketeye.errors import MissingExtra
from pocketeye.runs import TENSORBOARD, RunFolder
from pocketeye.training.engine.callbacks import Closing


def require_tensorboard() -> None:
    """Raise MissingExtra, with the command that installs it, where TensorBoard is not there."""
    if find_spec("tensorboard") is None:
        raise MissingExtra("--tensorboard", "tensorboard", "tensorboard")


class TensorBoardLog(Closing):
    """Write what is in ``metrics.csv`` as scalars too, a step an epoch, into ``tensorboard/``.

    A run that goes on takes back the epochs that it repeats.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.writer: Any = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            # Here, not above: TensorBoard is optional.
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(
                str(self.run / TENSORBOARD), purge_step=trainer.current_epoch + 1
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.writer is None:
            return
        for name, value in trainer.callback_metrics.items():
            if not name.endswith("_step"):
                self.writer.add_scalar(name, float(value), trainer.current_epoch + 1)
        # Each epoch is readable while the next one runs.
        self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer = None
