"""Save what a training has learnt, after every epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from pocketeye import progress
from pocketeye.models.weights.saved import save_weights
from pocketeye.outputs import cannot_write
from pocketeye.runs import BEST, CHECKPOINT, LAST, MODEL, RunFolder
from pocketeye.text import human_seconds
from pocketeye.training.engine.averaging import AveragedTask
from pocketeye.training.engine.reporting.judging import (
    NUM_FOUND,
    NUM_OBJECTS,
    ONE_ANSWER,
    ONE_CLASS,
)

# What only our own doubts are made of, and what the line says elsewhere.
_UNSAID = ("epoch", "seconds", ONE_CLASS, ONE_ANSWER, NUM_OBJECTS, NUM_FOUND)


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
            progress.mark(_epoch_line(row, trainer.max_epochs))
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


def _epoch_line(row: Mapping[str, float], epochs: int | None) -> str:
    """Return a row of ``metrics.csv`` as a line of a log."""
    values = [f"{key} {value:.4g}" for key, value in row.items() if key not in _UNSAID]
    of = f" of {epochs}" if epochs and epochs > 0 else ""
    return f"epoch {row['epoch'] + 1:g}{of}: {', '.join(values)} · {human_seconds(row['seconds'])}"


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
