"""Carry masks of the memory to a frame: each cell takes the mask of the cells that look like it.

Memory attention must learn to find an object again, which takes long. That cells of equal content belong
to the same object is known before: masks carried along by the features of a classifier alone, without
any training, reach two thirds of the J of trained trackers (arXiv 2006.14613, table 1). Here they are
carried by learned keys, and the result is one more input of the mask decoder.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SHARPNESS = 14.0  # of the cosines in the softmax: 1 / 0.07, as in arXiv 2006.14613
_REACH = 0.25  # standard deviation of the way between two frames, in sides of the image
_SIDE = 2  # a cell keeps the mask of its 2x2 quarters: outlines finer than the map's 16 pixels


class Matching(nn.Module):
    """Carry masks from the memory's frames to another frame.

    Args:
        feat_size: (height, width) of the maps.
        dim: channels of the features.
        key_dim: channels of the keys.
    """

    distance: Tensor

    def __init__(self, feat_size: tuple[int, int], dim: int, key_dim: int = 64) -> None:
        super().__init__()
        self.feat_size, self.key_dim = feat_size, key_dim
        self.key = nn.Conv2d(dim, key_dim, 1, bias=False)
        # Logarithms are learnt, so that both stay above zero.
        self.sharpness = nn.Parameter(torch.tensor(_SHARPNESS).log())
        self.reach = nn.Parameter(torch.tensor(_REACH).log())
        self.proj = nn.Linear(_SIDE**2 + 2, dim)
        # The features have channels of variance one (their norm): this is to be heard beside them.
        nn.init.normal_(self.proj.weight, std=1.0)
        nn.init.zeros_(self.proj.bias)
        y, x = ((torch.arange(side) + 0.5) / side for side in feat_size)
        place = torch.stack([x.expand(feat_size), y[:, None].expand(feat_size)], -1).flatten(0, 1)
        distance = (place[:, None] - place[None]).square().sum(-1)
        self.register_buffer("distance", distance, persistent=False)  # (N, N), squared

    @property
    def num_channels(self) -> int:
        """Channels of a map that :meth:`write` makes."""
        return self.key_dim + _SIDE**2

    def write(self, feat: Tensor, mask: Tensor) -> Tensor:
        """Write a map ``(B, num_channels, h, w)``: unit keys, and the shares of each quarter of a cell.

        Args:
            feat: raw features ``(1 or B, dim, h, w)``.
            mask: ``(B, 1, 16 h, 16 w)``, 0 to 1.
        """
        keys = F.normalize(self.key(feat), dim=1).expand(len(mask), -1, -1, -1)
        quarters = F.avg_pool2d(mask, 16 // _SIDE)
        return torch.cat([keys, F.pixel_unshuffle(quarters, _SIDE)], 1)

    def forward(self, feat: Tensor, memory: Tensor) -> Tensor:
        """Return what is carried into a frame, ``(B, dim, h, w)``.

        Args:
            feat: raw features ``(1 or B, dim, h, w)``.
            memory: ``(B, maps * N, num_channels)``: the cells of maps, one map after another.
        """
        keys, masks = memory.split([self.key_dim, _SIDE**2], 2)
        query = F.normalize(self.key(feat).flatten(2), dim=1).transpose(1, 2)  # 1 or B, N, key_dim
        cosine = query @ keys.transpose(1, 2)  # B N L
        # A Gaussian of the way that a thing moved, in the logits: log of exp(-d^2 / (2 reach^2)).
        near = self.distance * (-0.5 * torch.exp(-2 * self.reach))
        near = near.repeat(1, memory.shape[1] // near.shape[1])
        weights = (cosine * self.sharpness.exp() + near).softmax(2)
        # A mean cannot tell "nothing is alike" from "half of it is": so the best likeness to the
        # object, and to what is not the object, goes beside it.
        whole = masks.mean(2)[:, None]  # B 1 L
        best_likeness = [(cosine * share).amax(2, keepdim=True) for share in (whole, 1 - whole)]
        # Shares from 0..1 to -1..1: a cell of which nothing is known adds nothing.
        carried = self.proj(torch.cat([2 * (weights @ masks) - 1, *best_likeness], 2))
        return carried.transpose(1, 2).unflatten(2, self.feat_size)
