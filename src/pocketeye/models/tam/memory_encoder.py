"""Encode memory: a frame's features and an object's mask become one map of the memory (SAM 2)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from pocketeye.layers import Linear, by_onednn, hidden_layer


class MaskDownsampler(nn.Module):
    """Reduce masks ``(B, 1, H, W)`` to ``(B, dim, H / 16, W / 16)`` by four strided convolutions.

    Args:
        chs: widths after each of them.
    """

    def __init__(self, dim: int, chs: tuple[int, ...]) -> None:
        super().__init__()
        assert len(chs) == 4
        self.encoder = nn.Sequential(*self._steps(chs), nn.Conv2d(chs[-1], dim, 1))

    @staticmethod
    def _steps(chs: tuple[int, ...]) -> Iterator[nn.Module]:
        for in_chs, out_chs in zip((1, *chs), chs, strict=False):
            yield nn.Conv2d(in_chs, out_chs, 3, stride=2, padding=1)
            yield LayerNorm2d(out_chs)
            yield nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        return self.encoder(x)


class FuserBlock(nn.Module):
    """Apply ConvNeXt's block (arXiv 2201.03545); it keeps the shape ``(B, dim, H, W)``."""

    def __init__(self, dim: int, mlp_ratio: int = 4) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = LayerNorm2d(dim)
        self.pwconv1 = Linear(dim, mlp_ratio * dim)
        self.act = nn.GELU()
        self.pwconv2 = Linear(mlp_ratio * dim, dim)
        self.gamma = nn.Parameter(torch.full((dim,), 1e-6))  # ConvNeXt's: begins near identity

    def forward(self, x: Tensor) -> Tensor:
        # ConvNeXt's trick: a 1x1 convolution is a linear layer over channels that lie last.
        tokens = self.norm(self.dwconv(x)).permute(0, 2, 3, 1)
        if by_onednn(tokens):
            tokens = hidden_layer(tokens, self.pwconv1, self.pwconv2, "gelu")
        else:
            tokens = self.pwconv2(self.act(self.pwconv1(tokens)))
        return x + (self.gamma * tokens).permute(0, 3, 1, 2)


class Fuser(nn.Module):
    """Apply a row of :class:`FuserBlock`."""

    def __init__(self, dim: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(FuserBlock(dim) for _ in range(num_layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MemoryEncoder(nn.Module):
    """Turn features ``(1 or B, dim, h, w)`` and masks ``(B, 1, 16 h, 16 w)`` to ``(B, mem_dim, h, w)``.

    The branch of the features does not depend on the object: given once, it is computed once.

    Args:
        mask_chs: widths of the mask branch at strides 2, 4, 8 and 16.
    """

    def __init__(
        self,
        dim: int = 256,
        mem_dim: int = 64,
        num_layers: int = 2,
        mask_chs: tuple[int, ...] = (4, 16, 64, 256),
    ) -> None:
        super().__init__()
        self.mask_downsampler = MaskDownsampler(dim, mask_chs)
        self.pix_feat_proj = nn.Conv2d(dim, dim, 1)
        self.fuser = Fuser(dim, num_layers)
        self.out_proj = nn.Conv2d(dim, mem_dim, 1)

    def forward(self, feat: Tensor, mask: Tensor) -> Tensor:
        """Encode the masks of ``B`` objects.

        Args:
            feat: the neck's raw features, as yet without memory.
            mask: -10..10, what :meth:`pocketeye.models.TAM.encode_memory` makes of logits.
        """
        return self.out_proj(self.fuser(self.pix_feat_proj(feat) + self.mask_downsampler(mask)))
