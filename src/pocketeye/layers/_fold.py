"""Fold batch normalisation with fixed statistics, which is affine, into the linear layer beside it.

Folding is done in float64. It is exact *after* a convolution (or linear layer) always, and *before*
one only where no padding lies between the two: zeros padded after the normalisation are not what the
folded layer would see, so the border would change. :class:`NormedConv` keeps the border right.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


def affine_of(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what ``norm`` does to each channel in eval mode: scale and shift, float64 ``(C,)``."""
    assert norm.running_mean is not None, "no fixed statistics"
    assert norm.running_var is not None, "no fixed statistics"
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() * scale
    return scale.detach(), (shift + norm.bias.double() if norm.affine else shift).detach()


def fold_after(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Make one convolution that equals ``norm(conv(x))`` in eval mode."""
    scale, shift = affine_of(norm)
    bias = shift if conv.bias is None else shift + scale * conv.bias.detach().double()
    # In float64: rounding twice in float32 would show in parity checks of deep networks.
    return _with_values(conv, conv.weight.detach().double() * scale.view(-1, 1, 1, 1), bias)


def fold_before(norm: nn.BatchNorm2d, layer: _Layer) -> _Layer:
    """Make one layer that equals ``layer(norm(x))`` in eval mode; a convolution must be 1x1, unpadded.

    Also right across a mean over the map, as ``mean(a * x + b) = a * mean(x) + b``.
    """
    if isinstance(layer, nn.Conv2d):
        assert (layer.kernel_size, layer.groups, layer.padding) == ((1, 1), 1, (0, 0))
    scale, shift = affine_of(norm)
    weight = layer.weight.detach().double()
    bias = weight.flatten(1) @ shift
    if layer.bias is not None:
        bias = bias + layer.bias.detach().double()
    return _with_values(layer, weight * scale.view(1, -1, *[1] * (weight.ndim - 2)), bias)


class NormedConv(nn.Module):
    """Compute ``conv(norm(x))`` in eval mode, also at the border of a convolution that pads with zeros.

    The scale goes into the weights. The shift counts where there is a map, not where there is padding,
    so it is convolved by itself: for maps of static shape a constant, which runtimes compute once.
    """

    shift: Tensor

    def __init__(self, norm: nn.BatchNorm2d, conv: nn.Conv2d) -> None:
        super().__init__()
        assert (conv.groups, conv.padding_mode) == (1, "zeros")
        scale, shift = affine_of(norm)
        weight = conv.weight.detach().double()
        self.conv = copy.deepcopy(conv)
        with torch.no_grad():
            self.conv.weight.copy_(weight * scale.view(1, -1, 1, 1))
        # What a map of the shift would give: the bias everywhere but at the border.
        kernel = (weight * shift.view(1, -1, 1, 1)).sum(1, keepdim=True)
        self.register_buffer("shift", kernel.to(conv.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        conv, ones = self.conv, torch.ones_like(x[:1, :1])
        added = F.conv2d(ones, self.shift, None, conv.stride, conv.padding, conv.dilation)
        return conv(x) + added


def _with_values(layer: _Layer, weight: Tensor, bias: Tensor) -> _Layer:
    """Copy ``layer`` with these values, in the layer's own dtype."""
    folded, dtype = copy.deepcopy(layer), layer.weight.dtype
    with torch.no_grad():
        folded.weight = nn.Parameter(weight.to(dtype))
        folded.bias = nn.Parameter(bias.to(dtype))
    return folded
