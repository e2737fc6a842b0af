"""The learning rate of detectors and segmenters."""

from __future__ import annotations

import math
from collections.abc import Callable

from pocketeye.training.dense.config import DenseConfig


def dense_learning_rate_factor(config: DenseConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """The same for detectors and segmenters: warm-up, then steps, cosine, or a falling power.

    The warm-up rises to what the schedule asks for at that step (mmcv's rule).
    """
    steps = max(config.epochs * steps_per_epoch, 1)
    warmup = min(config.warmup_steps, steps // 2)
    floor = config.min_lr / config.lr

    def curve(step: int) -> float:
        if config.schedule == "step":
            return config.gamma ** sum(step >= m * steps_per_epoch for m in config.milestones)
        left = 1 - min(step / steps, 1.0)
        if config.schedule == "poly":
            return floor + (1 - floor) * left**config.power
        return floor + (1 - floor) * 0.5 * (1 - math.cos(math.pi * left))

    def factor(step: int) -> float:
        if step >= warmup:
            return curve(step)
        return curve(step) * (1 - (1 - step / warmup) * (1 - config.warmup_ratio))

    return factor
