"""Run one network of a supernet of segmenters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from pocketeye.models.dense.pixel_head import PixelHead


class PixelPath(nn.Module):
    """Turn images (B, C, H, W) into logits (B, K, H, W), by the blocks of one architecture."""

    def __init__(self, stem: nn.Module, blocks: Sequence[nn.Module], head: PixelHead) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = stem, nn.ModuleList(blocks), head

    def forward(self, x: Tensor) -> Tensor:
        size, maps = x.shape[-2:], {}
        x = self.stem(x)
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.head.layers:
                maps[number] = x
        return cast(Tensor, self.head(maps, size))
