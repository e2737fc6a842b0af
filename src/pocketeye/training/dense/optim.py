"""Make the optimiser of detectors and segmenters."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pocketeye.models.dense.backbone import DenseBackbone
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.engine import create_optimizer


def make_dense_optimizer(model: nn.Module, config: DenseRecipe) -> torch.optim.Optimizer:
    """Create the optimiser of a recipe; the backbone may have a rate of its own."""
    body = next(m for m in model.modules() if isinstance(m, DenseBackbone))
    # By identity: parameters of the body are also those of the network.
    inside = {id(p) for p in body.parameters()}
    backbone_lr = config.lr if config.backbone_lr is None else config.backbone_lr
    groups: list[dict[str, Any]] = []
    for in_body, lr in ((False, config.lr), (True, backbone_lr)):
        # Norms and biases have one dimension; whether they decay is the recipe's.
        for decayed in (True, False):
            params = [
                p for p in model.parameters()
                if p.requires_grad and (id(p) in inside) == in_body
                and (config.decay_norms or p.ndim > 1) == decayed
            ]  # fmt: skip
            decay = config.weight_decay if decayed else 0.0
            if params:
                groups.append({"params": params, "lr": lr, "weight_decay": decay})
    return create_optimizer(groups, config)
