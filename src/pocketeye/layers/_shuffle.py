"""Shuffle channels, so that grouped 1x1 convolutions exchange information (arXiv 1707.01083)."""

from __future__ import annotations

from torch import Tensor, nn


class ChannelShuffle(nn.Module):
    """Interleave ``groups`` groups of channels; ``(N, C, H, W)`` keeps its shape."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        # Height and width are one axis: the usual form has five axes, which not every runtime knows.
        n, c, h, w = x.shape
        return (
            x.reshape(n, self.groups, c // self.groups, h * w).transpose(1, 2).reshape(n, c, h, w)
        )

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
