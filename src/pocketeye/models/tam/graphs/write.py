"""Write what a frame and the masks of its objects leave in memory, ready to be read."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.layers import bilinear_matrix, pool_tokens
from pocketeye.models.tam.graphs.layers import (
    ChannelNorm,
    beside,
    dense,
    map_of,
    norm_of_rows,
    on_rows,
    rows_of,
)
from pocketeye.models.tam.graphs.read import MapKeys, pooled
from pocketeye.models.tam.memory_attention import Pooling
from pocketeye.models.tam.memory_encoder import FuserBlock
from pocketeye.models.tam.tam import TAM
from pocketeye.models.tam.target_model import CONSTANT

_CELL = 8  # pixels in the side of a quarter of a cell, of which shares of masks are kept
# Up to this side masks are enlarged by two products, which cost the side to the third.
_BY_PRODUCTS = 512


class Fuse(nn.Module):
    """Compute :class:`FuserBlock` on a map, the channel mixing on its rows."""

    def __init__(self, block: nn.Module, feat_size: tuple[int, int]) -> None:
        super().__init__()
        assert isinstance(block, FuserBlock)
        self.block, self.feat_size = block, feat_size
        gamma = block.gamma.detach()
        second, self.norm = block.pwconv2, norm_of_rows(block.norm)
        self.mix = dense(second.weight.detach() * gamma[:, None], second.bias.detach() * gamma)

    def forward(self, rows: Tensor) -> Tensor:
        block = self.block
        x = rows_of(block.dwconv(map_of(rows, *self.feat_size)))
        hidden = F.gelu(on_rows(block.pwconv1, on_rows(self.norm, x)))
        return rows + on_rows(self.mix, hidden)


class WriteGraph(nn.Module):
    """Write the maps of ``batch`` objects in a frame.

    Inputs: ``feat`` (1, N, C); ``mask`` (B, 1, 4 h, 4 w) logits; ``binarize`` (1, 1), 1 writes yes
    or no in place of probabilities; ``target_key`` (1, 4 N, K) where the network has a target
    model.

    Outputs: ``keys`` (D, B, N, C) without the part that tells their age, ``values`` (B, N, M);
    where several maps are read by their means also ``pooled_keys`` and ``pooled_values``; of
    matching ``match_masks`` (B, N, 4); of the target model ``target_sums`` (B, K + 1, K + 2).
    """

    def __init__(self, model: TAM, batch: int) -> None:
        super().__init__()
        attention, encoder = model.memory_attention, model.memory_encoder
        self.batch, self.dim, self.feat_size = batch, model.dim, model.feat_size
        self.image_size = model.image_size
        *steps, last = encoder.mask_downsampler.encoder
        self.steps = nn.ModuleList(
            ChannelNorm(conv, norm) for conv, norm in zip(steps[::3], steps[1::3], strict=True)
        )
        self.last, self.pixels = beside(last), beside(encoder.pix_feat_proj)
        self.fusers = nn.ModuleList(Fuse(block, self.feat_size) for block in encoder.fuser.layers)
        self.out = beside(encoder.out_proj)
        self.keys = MapKeys(attention)
        self.pooling, self.memory_pos = attention.pooling, attention.memory_pos
        self.matches, self.target_dim = model.matching is not None, 0
        if model.target is not None:
            self.target_dim = model.target.key_dim
        self.by_products = max(self.image_size) <= _BY_PRODUCTS
        for name, side in zip("yx", self.feat_size, strict=True):
            matrix = bilinear_matrix(16 * side, 4 * side) if self.by_products else torch.zeros(1)
            self.register_buffer(f"enlarge_{name}", matrix, persistent=False)

    enlarge_x: Tensor
    enlarge_y: Tensor

    @property
    def input_names(self) -> tuple[str, ...]:
        return ("feat", "mask", "binarize", *(("target_key",) if self.target_dim else ()))

    @property
    def output_names(self) -> tuple[str, ...]:
        names = ["keys", "values"]
        if self.pooling is not Pooling.NONE:
            names += ["pooled_keys", "pooled_values"]
        if self.matches:
            names.append("match_masks")
        if self.target_dim:
            names.append("target_sums")
        return tuple(names)

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes."""
        height, width = self.feat_size
        num = height * width
        inputs = [torch.zeros(1, num, self.dim), torch.zeros(self.batch, 1, 4 * height, 4 * width),
                  torch.zeros(1, 1)]  # fmt: skip
        if self.target_dim:
            inputs.append(torch.ones(1, 4 * num, self.target_dim))
        return tuple(inputs)

    def forward(
        self, feat: Tensor, mask: Tensor, binarize: Tensor, *target: Tensor
    ) -> tuple[Tensor, ...]:
        shown = self._shown(mask, binarize)
        values = self._encoded(feat, shown)
        keys = self.keys(values + self.memory_pos)
        found = [keys, values]
        if self.pooling is not Pooling.NONE:
            several = pooled(keys, self.feat_size)
            count = math.log(4) if self.pooling is Pooling.COUNTED_KEYS else 0.0
            found += [several + count, pool_tokens(values, *self.feat_size)]
        if self.matches or self.target_dim:
            shares = F.avg_pool2d(shown, _CELL)
            if self.matches:
                found.append(rows_of(F.pixel_unshuffle(shares, 2)))
            if self.target_dim:
                found.append(_sums(target[0], shares.flatten(2)))
        return tuple(found)

    def _shown(self, mask: Tensor, binarize: Tensor) -> Tensor:
        """Return the mask at the image's size, 0 to 1."""
        if self.by_products:
            large = self.enlarge_y @ mask @ self.enlarge_x.t()
        else:
            large = F.interpolate(mask, size=self.image_size, mode="bilinear", align_corners=False)
        sure = (large > 0).to(large.dtype)
        return binarize * sure + (1 - binarize) * large.sigmoid()

    def _encoded(self, feat: Tensor, shown: Tensor) -> Tensor:
        """Return the memory encoder's map as rows ``(B, N, M)``."""
        x = shown * 20.0 - 10.0  # see TAM.encode_memory
        for step in self.steps:
            x = F.gelu(step(x))
        rows = on_rows(self.pixels, feat) + on_rows(self.last, rows_of(x))
        for fuser in self.fusers:
            rows = fuser(rows)
        return on_rows(self.out, rows)


def _sums(keys: Tensor, share: Tensor) -> Tensor:
    """Compute :meth:`TargetModel.sums` of keys ``(1, 4 N, K)`` and shares ``(B, 1, 4 N)``."""
    keys = torch.cat([keys, torch.full_like(keys[..., :1], CONSTANT)], 2)
    inside = share / share.sum(2, keepdim=True).clamp(min=1)
    outside = (1 - share) / (1 - share).sum(2, keepdim=True).clamp(min=1)
    weighted = keys.transpose(1, 2) * (0.5 * (inside + outside))  # B E 4N
    moments = weighted @ keys
    with_mask = weighted @ (2 * share - 1).transpose(1, 2)
    return torch.cat([moments, with_mask], 2)
