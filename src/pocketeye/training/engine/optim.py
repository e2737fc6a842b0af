"""Make timm's optimisers as a recipe asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info
from torch import nn

from pocketeye.training.engine.recipe import Recipe


def create_optimizer(
    parameters: nn.Module | Sequence[dict[str, Any]], recipe: Recipe
) -> torch.optim.Optimizer:
    """Create the optimiser of a recipe.

    Args:
        parameters: a network, of which timm leaves biases and one-dimensional parameters without
            weight decay; or groups with ``lr`` and ``weight_decay`` of their own.
    """
    options: dict[str, Any] = {}
    # Groups bring their own decay.
    if isinstance(parameters, nn.Module):
        options["weight_decay"] = recipe.weight_decay
    # SGD would refuse betas.
    if recipe.betas is not None and get_optimizer_info(recipe.optimizer).has_betas:
        options["betas"] = recipe.betas
    return create_optimizer_v2(
        parameters, opt=recipe.optimizer, lr=recipe.lr, momentum=recipe.momentum, **options
    )
