"""Tell positions on a map: sine maps, axial rotary embedding in real numbers, resampled tables.

All are constants of the map's size: made once, kept as buffers that are not saved.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def sine_position(dim: int, height: int, width: int, temperature: float = 10_000.0) -> Tensor:
    """Make a sine map ``(dim, height, width)``: its first half of the channels tells y, the second x.

    Coordinates run from ``1 / n`` to 1 of a full turn; even channels are sines, odd ones cosines.
    """
    assert dim % 4 == 0
    half = dim // 2
    # In float64: made once, and equal on all machines to the last digit of float32.
    channel = torch.arange(half, dtype=torch.float64)
    period = temperature ** (2 * (channel // 2) / half)

    def axis(size: int) -> Tensor:
        # From 1, and 1e-6 against a division by zero: DETR's, as SAM 2 has it.
        turn = torch.arange(1, size + 1, dtype=torch.float64) / (size + 1e-6) * (2 * math.pi)
        phase = turn[:, None] / period
        return torch.where(channel % 2 == 0, phase.sin(), phase.cos()).float()

    y = axis(height).t()[:, :, None].expand(half, height, width)
    x = axis(width).t()[:, None, :].expand(half, height, width)
    return torch.cat([y, x])


def rope_tables(
    dim: int, height: int, width: int, theta: float = 10_000.0
) -> tuple[Tensor, Tensor]:
    """Make cosines and sines ``(height * width, dim / 2)`` of axial rotary embedding.

    Tokens run row by row. The first ``dim / 4`` pairs of channels turn with x, the others with y.
    """
    assert dim % 4 == 0
    # A quarter of the channels as frequencies: half of the pairs for x, half for y.
    freq = theta ** (-torch.arange(0, dim, 4, dtype=torch.float64) / dim)
    token = torch.arange(height * width)
    x, y = token % width, token.div(width, rounding_mode="floor")
    phase = torch.cat([x[:, None] * freq, y[:, None] * freq], -1)
    return phase.cos().float(), phase.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair of neighbouring channels by its token's angle.

    ``P`` pairs make one head; wider tokens hold several heads in a row, all turned alike.
    """
    heads = x.shape[-1] // (2 * cos.shape[-1])
    if heads > 1:
        cos, sin = cos.repeat(1, heads), sin.repeat(1, heads)
    # In real numbers: official code multiplies complex ones, which hardly any runtime can.
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)


def pool_tokens(x: Tensor, height: int, width: int) -> Tensor:
    """Take means over 2x2 cells: ``(B, height * width, C)`` to a quarter of the tokens."""
    batch, _, chs = x.shape
    # Two sums instead of one over two axes: four axes at most, which every runtime has.
    rows = x.reshape(batch * height // 2, 2, width // 2, 2 * chs).sum(1)
    return rows.reshape(batch, height * width // 4, 2, chs).sum(2) * 0.25


def bicubic_matrix(size: int, source: int) -> Tensor:
    """Make the matrix ``(size, source)`` of bicubic resampling of one axis.

    Resampling is linear, so a table of positions is resampled by two matrix products: no bicubic
    operator in the exported graph, and a constant there after folding.
    """
    return _resampling_matrix(size, source, "bicubic")


def bilinear_matrix(size: int, source: int) -> Tensor:
    """Make the matrix ``(size, source)`` of bilinear resampling of one axis."""
    return _resampling_matrix(size, source, "bilinear")


def _resampling_matrix(size: int, source: int, mode: str) -> Tensor:
    # Interpolation itself tells the weights: what it makes of each unit vector is a column.
    impulses = torch.eye(source).view(1, source, source, 1)
    resampled = F.interpolate(impulses, size=(size, 1), mode=mode, align_corners=False)
    return resampled[0, :, :, 0].t().contiguous()
