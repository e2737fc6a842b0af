"""The learning rate of trackers."""

from __future__ import annotations

import math
from collections.abc import Callable

from pocketeye.training.tam.config import TamConfig


def tam_learning_rate_factor(config: TamConfig, steps: int) -> Callable[[int], float]:
    """The same for trackers: warm-up, cosine or the inverse root of the step, and a cool-down.

    Args:
        steps: of the optimiser in the whole training.
    """
    warmup = min(config.warmup_steps, steps // 2)
    cooldown = min(config.cooldown_steps, steps // 2)
    floor = config.min_lr / config.lr
    end = steps - cooldown

    def curve(step: float) -> float:
        if config.schedule == "constant":
            return 1.0
        if config.schedule == "inverse_sqrt":
            scale = max(warmup, 1)
            return max(floor, math.sqrt(scale / max(step, scale)))
        done = (step - warmup) / max(end - warmup, 1)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if step < end or not cooldown:
            return curve(step)
        left = max(steps - step, 0) / cooldown
        return floor + (curve(end) - floor) * left

    return factor
