"""Sum candidates with weights, in a backward pass that reads every map once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def mix(maps: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Return the sum of ``weights[..., i] * maps[i]``.

    Args:
        maps: K tensors (B, D, H, W) of one dtype.
        weights: (K,) or (B, K), fp32; the sum is rounded to the dtype of the maps, the gradient of
            the weights is accumulated in fp32.
    """
    result: Tensor = _Mix.apply(weights, *maps)
    return result


class _Mix(torch.autograd.Function):
    """Compute :func:`mix`, with a backward pass of its own."""

    @staticmethod
    def forward(ctx: Any, weights: Tensor, *maps: Tensor) -> Tensor:
        ctx.save_for_backward(weights, *maps)
        total = maps[0] * _column(weights, 0, maps[0])
        for i, item in enumerate(maps[1:], 1):
            # In place, so that one map is held and not one per candidate.
            total.addcmul_(item, _column(weights, i, item))
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weights, *maps = ctx.saved_tensors
        grad = grads[0]
        grad_maps = [
            # Frozen weights need no gradients of maps that nothing before them can use.
            grad * _column(weights, i, item) if ctx.needs_input_grad[i + 1] else None
            for i, item in enumerate(maps)
        ]
        grad_weights = None
        if ctx.needs_input_grad[0]:
            grad_weights = torch.stack([_inner(grad, item, weights) for item in maps], dim=-1)
        return grad_weights, *grad_maps


def _column(weights: Tensor, i: int, like: Tensor) -> Tensor:
    column = weights[..., i].to(like.dtype)
    return column if column.ndim == 0 else column.view(-1, *[1] * (like.ndim - 1))


def _inner(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Return the inner product of two maps: a scalar, or one number an image for weights per image."""
    if all(t.is_contiguous(memory_format=torch.channels_last) for t in (a, b)):
        a, b = a.permute(0, 2, 3, 1), b.permute(0, 2, 3, 1)  # flattening then copies nothing
    start = weights.ndim - 1
    # In fp32: in half precision a sum over a whole map would lose its small terms.
    return torch.linalg.vecdot(a.float().flatten(start), b.float().flatten(start))
