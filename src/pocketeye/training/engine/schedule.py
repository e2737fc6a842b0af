"""Hold the linear warm-up and the cosine of which the learning rates of all tasks are made."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from pocketeye.training.engine.recipe import Recipe


def warmup_length(recipe: Recipe, steps: int, steps_per_epoch: float) -> float:
    """Return the length of the warm-up in steps, at most half of the training's ``steps``."""
    asked = recipe.warmup_steps or recipe.warmup_epochs * steps_per_epoch
    # Half: a warm-up longer than the training would never reach the peak.
    return min(asked, steps // 2)


def rise(step: int, warmup: float, ratio: float) -> float:
    """Return the factor at a step of the warm-up, which begins at ``ratio`` and ends at 1."""
    return ratio + (1 - ratio) * step / warmup


def cosine(done: float, floor: float) -> float:
    """Return the factor after the share ``done`` of the training, from 1 down to ``floor``."""
    # Beyond the end the cosine would rise again.
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def scheduled(optimizer: Optimizer, factor: Callable[[int], float]) -> Any:
    """Return an optimiser whose rates follow ``factor`` at every step, as Lightning takes it."""
    schedule = LambdaLR(optimizer, factor)
    return [optimizer], [{"scheduler": schedule, "interval": "step"}]
