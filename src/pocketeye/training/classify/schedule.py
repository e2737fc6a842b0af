"""Compute the learning rate of classifiers."""

from __future__ import annotations

from collections.abc import Callable

from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.engine import cosine, rise, warmup_length


def learning_rate_factor(recipe: ClassifyRecipe, steps: int) -> Callable[[int], float]:
    """Return the factor of the peak rate at a step: linear warm-up, then cosine or steps.

    Args:
        recipe: gives the schedule.
        steps: steps of the optimiser in the whole training (batches over ``accumulate``).
    """
    # At least one step, also of an empty epoch: rates are divided by it.
    steps_per_epoch = max(steps, 1) / recipe.epochs
    warmup = warmup_length(recipe, steps, steps_per_epoch)
    floor = recipe.min_lr / recipe.lr

    def factor(step: int) -> float:
        if step < warmup:
            return rise(step, warmup, recipe.warmup_ratio)
        if recipe.schedule == "step":
            return recipe.gamma ** sum(step >= m * steps_per_epoch for m in recipe.milestones)
        return cosine((step - warmup) / max(steps - warmup, 1), floor)

    return factor
