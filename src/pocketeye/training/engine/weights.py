"""The weights of a run: ``last.safetensors`` and ``best.safetensors``."""

from __future__ import annotations

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from pocketeye.models.saved import save_weights
from pocketeye.runs import BEST, LAST, MODEL, RunFolder
from pocketeye.training.engine.averaging import AveragedTask


class SaveWeights(Callback):
    """Save ``last.safetensors`` after every epoch, ``best.safetensors`` after one with a new best.

    Args:
        metric: what the task logs; the higher the better.
    """

    def __init__(self, run: RunFolder, metric: str = "val/top1") -> None:
        self.run, self.metric = run, metric
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
