"""The learning rate of classifiers."""

from __future__ import annotations

import math
from collections.abc import Callable

from pocketeye.training.classify.config import TrainConfig


def learning_rate_factor(config: TrainConfig, steps: int) -> Callable[[int], float]:
    """Factor of the peak learning rate at a step: linear warm-up, then cosine or steps.

    Args:
        config: the recipe.
        steps: steps of the optimiser in the whole training (batches over ``accumulate``).
    """
    steps_per_epoch = max(steps, 1) / config.epochs
    warmup = min(config.warmup_epochs * steps_per_epoch, 0.5 * steps)
    start = 0.01 if config.warmup_lr is None else config.warmup_lr / config.lr
    floor = config.min_lr / config.lr

    def factor(step: int) -> float:
        if step < warmup:
            return start + (1 - start) * step / warmup
        if config.schedule == "step":
            return config.gamma ** sum(step >= m * steps_per_epoch for m in config.milestones)
        done = (step - warmup) / max(steps - warmup, 1)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return factor
