"""Where masks of the memory come to lie when each cell takes the mask of those that look like it.

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
_SIDE = 2  # a cell's mask is kept as so many by so many shares


class Matching(nn.Module):
    """Carries masks from the memory's frames to another frame.

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
        self.sharpness = nn.Parameter(torch.tensor(_SHARPNESS).log())
        self.reach = nn.Parameter(torch.tensor(_REACH).log())
        self.proj = nn.Linear(_SIDE**2 + 2, dim)
        # as loud as the features, whose channels have a variance of one
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
        """A map ``(B, num_channels, h, w)``: unit keys, and the shares of each quarter of a cell.

        Args:
            feat: raw features ``(1 or B, dim, h, w)``.
            mask: ``(B, 1, 16 h, 16 w)``, 0 to 1.
        """
        keys = F.normalize(self.key(feat), dim=1).expand(len(mask), -1, -1, -1)
        quarters = F.avg_pool2d(mask, 16 // _SIDE)
        return torch.cat([keys, F.pixel_unshuffle(quarters, _SIDE)], 1)

    def forward(self, feat: Tensor, memory: Tensor) -> Tensor:
        """What is carried into a frame, ``(B, dim, h, w)``.

        Args:
            feat: raw features ``(1 or B, dim, h, w)``.
            memory: ``(B, maps * N, num_channels)``: the cells of maps, one map after another.
        """
        keys, masks = memory.split([self.key_dim, _SIDE**2], 2)
        query = F.normalize(self.key(feat).flatten(2), dim=1).transpose(1, 2)  # 1 or B, N, key_dim
        cosine = query @ keys.transpose(1, 2)  # B N L
        near = self.distance * (-0.5 * torch.exp(-2 * self.reach))
        near = near.repeat(1, memory.shape[1] // near.shape[1])
        weights = (cosine * self.sharpness.exp() + near).softmax(2)
        whole = masks.mean(2)[:, None]  # B 1 L
        most = [(cosine * share).amax(2, keepdim=True) for share in (whole, 1 - whole)]
        carried = self.proj(torch.cat([2 * (weights @ masks) - 1, *most], 2))
        return carried.transpose(1, 2).unflatten(2, self.feat_size)
