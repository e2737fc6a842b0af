"""Make a tracker's optimiser: the image encoder has rates of its own, smaller from layer to layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from pocketeye.models.tam import TAM
from pocketeye.training.engine import cosine, create_optimizer, rise, warmup_length
from pocketeye.training.tam.recipe import TamRecipe

_ENCODER = "image_encoder."
_NO_DECAY = ("pos_embed",)  # a table of places, not a weight: as ViTs are trained


def make_optimizer(
    model: TAM, config: TamRecipe, extra: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """Create the optimiser of a recipe over :func:`parameter_groups`, and ``extra`` at the peak rate."""
    groups = parameter_groups(model, config)
    if extra:
        groups.append({"params": list(extra), "lr": config.lr, "weight_decay": 0.0})
    return create_optimizer(groups, config)


def parameter_groups(model: TAM, config: TamRecipe) -> list[dict[str, Any]]:
    """Return the rest first (its rate is logged), then neck and trunk of the image encoder.

    Biases, norms and other one-dimensional parameters have no weight decay.
    """
    encoder_lr = config.lr if config.encoder_lr is None else config.encoder_lr
    trunk = model.image_encoder.trunk
    # By identity, not by name: the trunk may be any module, under any names.
    inside = {id(p) for p in trunk.parameters()}
    others = [(name, p) for name, p in model.named_parameters() if id(p) not in inside]
    neck = [(name, p) for name, p in others if name.startswith(_ENCODER)]
    rest = [(name, p) for name, p in others if not name.startswith(_ENCODER)]
    groups = [*_by_decay(rest, config.lr, config), *_by_decay(neck, encoder_lr, config)]
    if config.layer_decay == 1:
        return groups + _by_decay(list(trunk.named_parameters()), encoder_lr, config)
    # timm counts the trunk's layers by itself: layer_decay multiplies from each to the one before.
    layered = param_groups_layer_decay(
        trunk, config.weight_decay, no_weight_decay_list=_NO_DECAY, layer_decay=config.layer_decay
    )
    for group in layered:
        group["lr"] = encoder_lr * group.pop("lr_scale")
    return groups + layered


def _by_decay(
    parameters: list[tuple[str, nn.Parameter]], lr: float, config: TamRecipe
) -> list[dict[str, Any]]:
    split: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
    for name, p in parameters:
        if p.requires_grad:
            # A boolean as index: parameters without decay go into the second list.
            split[p.ndim <= 1 or name.endswith(_NO_DECAY)].append(p)
    decays = (config.weight_decay, 0.0)
    return [
        {"params": params, "lr": lr, "weight_decay": decay}
        for params, decay in zip(split, decays, strict=True)
        if params
    ]


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
