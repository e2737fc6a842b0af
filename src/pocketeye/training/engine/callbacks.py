"""Define callbacks of the shared loop."""

from __future__ import annotations

import logging
import math
import random
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.strategies import DDPStrategy

from pocketeye import progress
from pocketeye.errors import InvalidValue
from pocketeye.models.weights.saved import save_weights
from pocketeye.outputs import cannot_write
from pocketeye.runs import BEST, CHECKPOINT, LAST, MODEL, RunFolder
from pocketeye.training.engine.averaging import AveragedTask

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


def mix_seed(*parts: int) -> int:
    """Mix several whole numbers into one 63-bit seed; near inputs give unrelated seeds."""
    # Negative numbers have no words for SeedSequence: they are taken modulo 2^64.
    state = np.random.SeedSequence([p % (1 << 64) for p in parts]).generate_state(2, np.uint32)
    # 63 bits: torch's seeds are signed.
    return (int(state[0]) << 31) ^ int(state[1])


def seed_all(*parts: int) -> None:
    """Seed ``random``, numpy and torch (all devices) from whole numbers."""
    seed = mix_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % (1 << 32))  # noqa: NPY002 - timm's Mixup draws from the global one
    torch.manual_seed(seed)


class QuietDDP(DDPStrategy):
    """Keep Lightning quiet in spawned processes too, which start with its defaults."""

    def setup_environment(self) -> None:
        hush()
        super().setup_environment()


class Reseed(Callback):
    """Seed every epoch by (seed, epoch, rank), so that no random state need be stored."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        seed_all(self.seed, trainer.current_epoch, trainer.global_rank)


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


class EpochEnd(Checkpoint):
    """Write the row of metrics and ``last.ckpt`` (a Checkpoint callback runs after all others)."""

    def __init__(self, run: RunFolder) -> None:
        self.run = run
        self.began = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        row = {"epoch": float(trainer.current_epoch)}
        row |= {
            key: float(value)
            for key, value in sorted(trainer.callback_metrics.items())
            if not key.endswith("_step")  # Lightning keeps those of single steps too
        }
        row["seconds"] = round(time.perf_counter() - self.began, 3)
        if trainer.is_global_zero:
            # the row first: should the checkpoint fail, the repeated epoch replaces it
            self.run.log_metrics(row)
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        path = self.run / CHECKPOINT
        try:
            trainer.save_checkpoint(path)
        except OSError as error:
            kept = (
                "the epoch before is still there, go"
                if path.is_file()
                else "no epoch is saved, begin"
            )
            raise cannot_write(path, error, f"{kept} on with --resume") from error


class SaveWeights(Callback):
    """Save ``last.safetensors`` after every epoch, ``best.safetensors`` after one with a new best.

    Args:
        metric: what the task logs; the higher the better.
    """

    def __init__(self, run: RunFolder, metric: str = "val/top1") -> None:
        self.run, self.metric = run, metric
        # Below every metric: the first epoch is always better.
        self.best = -1.0

    def state_dict(self) -> dict[str, float]:
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = float(state_dict["best"])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, AveragedTask)
        value = float(trainer.callback_metrics[self.metric])
        # Where nothing can be judged no epoch is better: the last one is kept.
        better = value > self.best or (math.isnan(value) and self.best < 0)
        self.best = max(self.best, -1.0 if math.isnan(value) else value)
        if trainer.is_global_zero:
            state = pl_module.best_model.state_dict()
            for name in (LAST, BEST) if better else (LAST,):
                save_weights(state, self.run / name, model=self.run / MODEL)
