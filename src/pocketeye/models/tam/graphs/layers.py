"""What the graphs of a tracker share: products over rows, rotation by halves, orders of pixels.

Legend: B objects, N tokens of stride 16, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn


def dense(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """Make a linear layer of a weight ``(out, in)`` and a bias ``(out,)``."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def beside(*layers: nn.Module) -> nn.Linear:
    """Make one layer of several that read the same rows: their outputs stand side by side.

    A 1x1 convolution of a map is a linear layer of its rows.
    """
    weights, biases = [], []
    for layer in layers:
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        weights.append(layer.weight.flatten(1))
        biases.append(weights[-1].new_zeros(len(weights[-1])) if layer.bias is None else layer.bias)
    return dense(torch.cat(weights), torch.cat(biases))


def on_rows(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer to ``(…, C)`` as one matrix.

    Runtimes add the bias of a product of matrices at once. And ONNX Runtime puts a norm together
    with the sum before it, into a kernel that takes seven times as long as both, unless a reshape
    is between.
    """
    return layer(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)


def halves(dim: int) -> Tensor:
    """Return the order of channels that brings the first of each pair before all second ones.

    Logits do not change when queries and keys are ordered alike; rotation then reads two halves in
    place of every other channel.
    """
    return torch.cat([torch.arange(0, dim, 2), torch.arange(1, dim, 2)])


def turning(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Return tables ``(N, C)`` for :func:`turn` from ``(N, C / 2)``."""
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate pairs of channels of which the first ones lie in the first half."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([second, first], -1) * sin


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, chunk: int) -> Tensor:
    """Compute ``softmax(q k' + bias) v``; queries are scaled already.

    Args:
        q: ``(…, N, C)``; ``k`` is ``(…, L, C)`` and ``v`` ``(…, L, M)``.
        bias: ``(…, 1, L)``.
        chunk: queries whose logits are held at a time.
    """
    turned, done = k.transpose(-2, -1), []
    for some in q.split(chunk, -2):
        logits = some @ turned
        if bias is not None:
            logits = logits + bias
        done.append(logits.softmax(-1) @ v)
    return done[0] if len(done) == 1 else torch.cat(done, -2)


def attend_heads(
    q: Tensor, k: Tensor, v: Tensor, num_heads: int, bias: Tensor | None = None
) -> Tensor:
    """Attend with several heads, ``(B, N, C)`` to ``(B, N, C)``; queries are scaled already.

    Args:
        bias: ``(B, 1, 1, L)``.
    """

    def split(x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], num_heads, -1).transpose(1, 2)

    read = attend(split(q), split(k), split(v), bias, q.shape[1])
    return read.transpose(1, 2).flatten(2)


def map_of(rows: Tensor, height: int, width: int) -> Tensor:
    """Turn rows ``(B, height * width, C)`` into a map ``(B, C, height, width)``."""
    return rows.transpose(1, 2).reshape(rows.shape[0], -1, height, width)


def rows_of(x: Tensor) -> Tensor:
    """Turn a map ``(B, C, h, w)`` into rows ``(B, h * w, C)``."""
    return x.flatten(2).transpose(1, 2)


def in_cells(rows: Tensor, height: int, width: int, side: int = 2) -> Tensor:
    """Order pixels cell by cell, from row by row; ``height`` and ``width`` count the cells.

    Args:
        rows: ``(B, side * height * side * width, C)``, row by row.

    Returns:
        Of the same shape; the ``side ** 2`` pixels of a cell follow each other.
    """
    batch, num, chs = rows.shape
    lines = rows.reshape(batch * height, side, width, side * chs)
    return lines.transpose(1, 2).reshape(batch, num, chs)


def in_quarters(rows: Tensor, height: int, width: int) -> Tensor:
    """Order the 16 pixels of each cell as two steps of enlarging leave them, from row by row."""
    batch, num, chs = rows.shape
    cells = in_cells(rows, height, width, 4)
    # y1 y2 x1 x2 within a cell becomes y1 x1 y2 x2
    return cells.reshape(-1, 2, 2, 2 * chs).transpose(1, 2).reshape(batch, num, chs)


def out_of_quarters(values: Tensor, height: int, width: int) -> Tensor:
    """Undo :func:`in_quarters` for ``M`` values of each pixel.

    Args:
        values: ``(B, M, 16 * height * width)``.

    Returns:
        ``(B, M, 4 * height, 4 * width)``.
    """
    batch, num, _ = values.shape
    cells = values.reshape(-1, 2, 2, 2).transpose(1, 2)
    lines = cells.reshape(-1, width, 4, 4).transpose(1, 2)
    return lines.reshape(batch, num, 4 * height, 4 * width)


class Enlarge(nn.Module):
    """Enlarge maps bilinearly by two small products: ``U_y X U_x'`` for each channel.

    Args:
        matrices: ``(rows out, rows in)`` and ``(columns out, columns in)``.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, matrices: Sequence[Tensor]) -> None:
        super().__init__()
        for name, matrix in zip(("rows", "columns"), matrices, strict=True):
            self.register_buffer(name, matrix.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge rows ``(B, h * w, C)``, row by row."""
        batch, _, chs = x.shape
        (tall, height), width = self.rows.shape, self.columns.shape[1]
        lines = self.rows @ x.reshape(batch, height, width * chs)
        return (self.columns @ lines.reshape(batch * tall, width, chs)).reshape(batch, -1, chs)


def norm_of_rows(norm: nn.Module) -> nn.LayerNorm:
    """Return a norm over the channels of a map, for its rows."""
    assert isinstance(norm, LayerNorm2d)
    made = nn.LayerNorm(norm.normalized_shape, eps=norm.eps)
    with torch.no_grad():
        made.weight.copy_(norm.weight)
        made.bias.copy_(norm.bias)
    return made


class ChannelNorm(nn.Module):
    """Apply a convolution and the norm over its channels that follows, on maps without transposing.

    The mean over channels is linear: it is taken out of the weights. What remains is a division.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, LayerNorm2d)
        weight, bias = conv.weight.detach().double(), conv.bias
        assert bias is not None
        centred = bias.detach().double() - bias.detach().double().mean()
        self.conv = nn.Conv2d(
            conv.in_channels, conv.out_channels, conv.kernel_size,  # type: ignore[arg-type]
            conv.stride, conv.padding, groups=conv.groups,  # type: ignore[arg-type]
        )  # fmt: skip
        with torch.no_grad():
            self.conv.weight.copy_(weight - weight.mean(0, keepdim=True))
            self.conv.bias.copy_(centred)  # type: ignore[union-attr]
        self.weight = nn.Parameter(norm.weight.detach().clone().view(1, -1, 1, 1))
        self.bias = nn.Parameter(norm.bias.detach().clone().view(1, -1, 1, 1))
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        spread = (x.square().mean(1, keepdim=True) + self.eps).sqrt()
        return x / spread * self.weight + self.bias


def normalise_rows(x: Tensor, eps: float = 1e-12) -> Tensor:
    """Give each row unit length, as :func:`torch.nn.functional.normalize`."""
    return F.normalize(x, dim=-1, eps=eps)
