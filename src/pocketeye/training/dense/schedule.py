"""Compute the learning rate of detectors and segmenters."""

from __future__ import annotations

from collections.abc import Callable

from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.engine import cosine, rise, warmup_length


def dense_learning_rate_factor(recipe: DenseRecipe, steps_per_epoch: int) -> Callable[[int], float]:
    """Return the factor of the peak rate at a step: warm-up, then steps, cosine or a falling power.

    The warm-up rises to what the schedule asks for at that step (mmcv's rule), so the schedule counts
    from the first step on.
    """
    steps = max(recipe.epochs * steps_per_epoch, 1)
    warmup = warmup_length(recipe, steps, steps_per_epoch)
    # Factors are of the peak rate.
    floor = recipe.min_lr / recipe.lr

    def curve(step: int) -> float:
        if recipe.schedule == "step":
            return recipe.gamma ** sum(step >= m * steps_per_epoch for m in recipe.milestones)
        if recipe.schedule == "poly":
            # Beyond the last step the power of a negative number would be complex.
            return floor + (1 - floor) * (1 - min(step / steps, 1.0)) ** recipe.power
        return cosine(step / steps, floor)

    def factor(step: int) -> float:
        if step >= warmup:
            return curve(step)
        return curve(step) * rise(step, warmup, recipe.warmup_ratio)

    return factor
