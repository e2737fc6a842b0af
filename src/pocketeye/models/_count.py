"""Count multiply-accumulates and weights, by the convention that the papers use."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Hold the counts of a network.

    Attributes:
        macs: multiply-accumulates of convolutions and matrix products, for one image.
        params: all parameters.
        weights: those of convolutions and linear layers, without BN and biases (FBNet's convention).
    """

    macs: int
    params: int
    weights: int


def count(module: nn.Module, input_shape: tuple[int, ...]) -> Counts:
    """Count on the meta device: no arithmetic is done, the module is left as it is.

    Args:
        input_shape: of one image, ``(C, H, W)``.
    """
    # A copy, because .to("meta") drops the weights for good.
    shadow = copy.deepcopy(module).to("meta").eval()
    # Counted by dispatch, not by module: products inside functions are seen, too.
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(torch.empty(1, *input_shape, device="meta"))
    return Counts(
        macs=counter.get_total_flops() // 2,  # PyTorch counts a product and a sum as two
        # A parameter that two modules share counts once.
        params=sum(p.numel() for p in module.parameters()),
        weights=sum(
            m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ),
    )
