"""Give the learning rate of trackers."""

from __future__ import annotations

import math
from collections.abc import Callable

from pocketeye.training.engine.schedule import cosine, rise, warmup_length
from pocketeye.training.tam.recipe import TamRecipe


def tam_learning_rate_factor(recipe: TamRecipe, steps: int) -> Callable[[int], float]:
    """Return the factor of the peak rate at a step: warm-up, a schedule, and a cool-down to ``min_lr``.

    Args:
        recipe: gives the schedule.
        steps: of the optimiser in the whole training.
    """
    warmup = warmup_length(recipe, steps, recipe.steps_per_epoch)
    # At most half: a short trial of a long recipe would otherwise only cool down.
    cooldown = min(recipe.cooldown_steps, steps // 2)
    floor = recipe.min_lr / recipe.lr
    end = steps - cooldown

    def curve(step: float) -> float:
        if recipe.schedule == "constant":
            return 1.0
        if recipe.schedule == "inverse_sqrt":
            # Vaswani et al. 2017, eq. 3: the root falls from the end of the warm-up on.
            scale = max(warmup, 1)
            return max(floor, math.sqrt(scale / max(step, scale)))
        return cosine((step - warmup) / max(end - warmup, 1), floor)

    def factor(step: int) -> float:
        if step < warmup:
            return rise(step, warmup, recipe.warmup_ratio)
        if step < end or not cooldown:
            return curve(step)
        # Linear from wherever the curve has come, so that there is no step between the two.
        left = max(steps - step, 0) / cooldown
        return floor + (curve(end) - floor) * left

    return factor
