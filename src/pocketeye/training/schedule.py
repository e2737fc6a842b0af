"""The learning rate by step of the optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable

from pocketeye.training.classify.config import TrainConfig
from pocketeye.training.dense.config import DenseConfig
from pocketeye.training.tam.config import TamConfig


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
