"""Build a plain vision transformer for dense maps: one stride, windows in most blocks.

It is the image encoder of EfficientTAM (arXiv 2411.18933), after ViTDet (arXiv 2203.16527): patches of
16 pixels, pre-norm blocks, no norm at the end; most blocks attend within windows of 14x14 tokens, a few
over the whole map.

Where the map is no multiple of the window, the authors fill it up with zeros *before* the projection
to queries, keys and values: fill tokens have the biases as key and value, and take part. All those of
a window being alike, one of them with the logarithm of their number added to its logit does the same,
and needs no queries: at 512 pixels 1024 tokens are computed, not 1764. ``pad_windows=True`` keeps the
authors' computation for comparison.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import PatchEmbed, trunc_normal_
from torch import Tensor, nn

from pocketeye.layers import MLP, Linear, attention, bicubic_matrix, merge_heads, split_heads


def _partition(x: Tensor, height: int, width: int) -> Tensor:
    """Cut a map into windows, ``(B * rows * columns, height * width, C)``.

    In two steps, so that no tensor has more than four axes: ncnn knows no more.
    """
    batch, rows, cols, chs = x.shape
    stripes = x.reshape(batch * rows // height, height, cols // width, width * chs)
    return stripes.transpose(1, 2).reshape(-1, height * width, chs)


def _unpartition(x: Tensor, height: int, width: int, rows: int, cols: int) -> Tensor:
    """Undo :func:`_partition`: return ``(B, rows, cols, C)``."""
    chs = x.shape[-1]
    stripes = x.reshape(-1, cols // width, height, width * chs)
    return stripes.transpose(1, 2).reshape(-1, rows, cols, chs)


def _spans(size: int, window: int) -> list[tuple[int, int, int]]:
    """Return (start, end, window) along one axis: whole windows, then what is left."""
    whole = size // window * window
    spans = [(0, whole, window), (whole, size, size - whole)]
    return [span for span in spans if span[0] < span[1]]


class Attention(nn.Module):
    """Attend on a map ``(B, H, W, dim)``, within windows unless ``window_size`` is 0."""

    def __init__(self, dim: int, num_heads: int, window_size: int, pad_windows: bool) -> None:
        super().__init__()
        self.num_heads, self.window_size, self.pad_windows = num_heads, window_size, pad_windows
        self.fused_attn = True
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        if not self.window_size:
            return self.proj(self._attend(self.qkv(x.flatten(1, 2)))).reshape(x.shape)
        if self.pad_windows:
            return self._padded(x)
        return self.proj(self._windows(self.qkv(x)))

    def _padded(self, x: Tensor) -> Tensor:
        size, (height, width) = self.window_size, x.shape[1:3]
        # To the right and below, as the authors do: it decides which tokens share a window.
        x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
        rows, cols = x.shape[1:3]
        windows = self.proj(self._attend(self.qkv(_partition(x, size, size))))
        return _unpartition(windows, size, size, rows, cols)[:, :height, :width]

    def _windows(self, qkv: Tensor) -> Tensor:
        size, (height, width) = self.window_size, qkv.shape[1:3]
        # Whole windows and the rests on the right, below and in the corner: four regions at most.
        stripes = []
        for top, bottom, rows in _spans(height, size):
            regions = []
            for left, right, cols in _spans(width, size):
                windows = _partition(qkv[:, top:bottom, left:right], rows, cols)
                windows = self._attend(windows, num_fill=size * size - rows * cols)
                regions.append(_unpartition(windows, rows, cols, bottom - top, right - left))
            stripes.append(torch.cat(regions, 2))
        return torch.cat(stripes, 1)

    def _attend(self, qkv: Tensor, num_fill: int = 0) -> Tensor:
        """Attend, ``(B, N, 3 dim)`` to ``(B, N, dim)``, with ``num_fill`` fill tokens among the keys."""
        q, k, v = (split_heads(x, self.num_heads) for x in qkv.chunk(3, -1))
        if not num_fill:
            return merge_heads(attention(q, k, v, fused=self.fused_attn))
        # A token of zeros is projected to the biases alone; as slices, which exporters fold.
        dim, biases = qkv.shape[-1] // 3, self.qkv.bias.view(1, 1, -1)
        fill = (biases[..., dim : 2 * dim], biases[..., 2 * dim :])
        k_fill, v_fill = (
            split_heads(x, self.num_heads).expand(q.shape[0], -1, -1, -1) for x in fill
        )
        # n equal tokens have n times the weight of one: ln n in its logit.
        bias = F.pad(q.new_zeros(1, 1, 1, k.shape[2]), (0, 1), value=math.log(num_fill))
        k, v = torch.cat([k, k_fill], 2), torch.cat([v, v_fill], 2)
        return merge_heads(attention(q, k, v, bias, fused=self.fused_attn))


class Block(nn.Module):
    """Apply a pre-norm transformer block to ``(B, H, W, dim)``."""

    def __init__(
        self, dim: int, num_heads: int, mlp_ratio: float, window_size: int, pad_windows: bool
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)  # the authors' eps; PyTorch's would be 1e-5
        self.attn = Attention(dim, num_heads, window_size, pad_windows)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = MLP(dim, int(dim * mlp_ratio), dim, act_layer=nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PlainViT(nn.Module):
    """Turn ``(B, in_chans, H, W)`` into ``(B, dim, H / 16, W / 16)``, for one size of image.

    Args:
        image_size: (height, width), multiples of ``patch_size``.
        dim: width.
        depth: number of blocks.
        num_heads: heads per block.
        window_size: side of a window, in tokens.
        global_blocks: indices of the blocks that attend over the whole map.
        mlp_ratio: hidden width of the MLPs over ``dim``.
        table_size: side of the saved table of positions, which is resampled to the map (bicubic);
            as published it also has a slot for a class token, which dense maps leave aside.
        pad_windows: fill windows up as the authors do; the same output for more work.
    """

    def __init__(
        self,
        image_size: tuple[int, int],
        dim: int = 192,
        depth: int = 12,
        num_heads: int = 3,
        window_size: int = 14,
        global_blocks: tuple[int, ...] = (2, 5, 8, 11),  # each third block, as in ViTDet
        mlp_ratio: float = 4.0,
        patch_size: int = 16,
        in_chans: int = 3,
        table_size: int = 14,
        pad_windows: bool = False,
    ) -> None:
        super().__init__()
        self.num_features, self.table_size = dim, table_size
        self.feature_info = [{"num_chs": dim, "reduction": patch_size, "module": "blocks"}]
        self.patch_embed = PatchEmbed(
            None, patch_size, in_chans, dim, output_fmt="NHWC", strict_img_size=False
        )
        # In the form of the files: 197 = 1 + 14 x 14, made for 224 pixels.
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + table_size**2, dim))
        # Resampled by two constant matrices. Official code interpolates at every forward, and on MPS
        # bilinearly: another network there than the one that was evaluated.
        for axis, size in zip("yx", image_size, strict=True):
            matrix = bicubic_matrix(size // patch_size, table_size)
            self.register_buffer(f"resample_{axis}", matrix, persistent=False)
        windows = (0 if n in global_blocks else window_size for n in range(depth))
        self.blocks = nn.Sequential(
            *(Block(dim, num_heads, mlp_ratio, window, pad_windows) for window in windows)
        )
        self.apply(_init_weights)
        trunc_normal_(self.pos_embed, std=0.02)

    resample_y: Tensor
    resample_x: Tensor

    def position(self) -> Tensor:
        """Return the table at the map's size, ``(H / 16, W / 16, dim)``."""
        side, dim = self.table_size, self.num_features
        # Slot 0 is the class token's, which dense maps do not have.
        rows = self.resample_y @ self.pos_embed[0, 1:].reshape(side, side * dim)
        return self.resample_x @ rows.reshape(-1, side, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x) + self.position()
        return self.blocks(x).permute(0, 3, 1, 2)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Return the table of positions, which weight decay would pull to zero."""
        return {"pos_embed"}

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return layer groups for layer-wise learning rates (timm's convention)."""
        return {"stem": r"^pos_embed|^patch_embed", "blocks": [(r"^blocks\.(\d+)", None)]}


def _init_weights(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
