"""Build a feature pyramid (arXiv 1612.03144) on any backbone, in the form of mmdetection 2.x.

torchvision's pyramid does the work; levels are named by the power of two of their stride, ``p2`` at
stride 4. Top-down maps are resampled to the size of the map below, so any size of image works.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

from timm.models import reparameterize_model
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from pocketeye.layers import NormedConv, fold_before
from pocketeye.models.dense.backbone import DenseBackbone

Extra = Literal["none", "pool", "convs"]


class ExtraConvs(ExtraFPNBlock):
    """Make P6 from C5 and P7 from P6, by 3x3 convolutions of stride 2.

    Unlike torchvision's ``LastLevelP6P7`` it always starts from C5 (there, from P5 where both happen
    to be as wide, as with CAS-ViT-S) and has no ReLU between the two, as mmdetection has it.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.p6: nn.Module = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)

    def forward(
        self, p: list[Tensor], c: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        p6 = self.p6(c[-1])
        return [*p, p6, self.p7(p6)], [*names, "p6", "p7"]


class ExtraPool(ExtraFPNBlock):
    """Make P6, for the region proposals: every second value of P5."""

    def forward(
        self, p: list[Tensor], c: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        # A maximum over one value: subsampling, as mmdetection and Detectron write it.
        return [*p, F.max_pool2d(p[-1], 1, 2, 0)], [*names, "p6"]


def make_pyramid(
    channels: list[int], out_channels: int, above: ExtraFPNBlock | None = None
) -> FeaturePyramidNetwork:
    """Make torchvision's pyramid on maps of ``channels``, begun as mmdetection begins it."""
    pyramid = FeaturePyramidNetwork(channels, out_channels, above)
    for module in pyramid.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)  # torchvision: Kaiming
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    return pyramid


class FPNBackbone(nn.Module):
    """Join backbone and pyramid: ``(N, C, H, W)`` to maps of ``out_channels``, finest first.

    Args:
        body: the backbone; its strides are those of the pyramid.
        out_channels: of every level.
        extra: levels above the backbone's: ``convs`` for RetinaNet, ``pool`` for Mask R-CNN.
    """

    def __init__(self, body: DenseBackbone, out_channels: int = 256, extra: Extra = "none") -> None:
        super().__init__()
        self.body, self.out_channels = body, out_channels
        channels = body.feature_info.channels()
        above: ExtraFPNBlock | None = ExtraPool() if extra == "pool" else None
        if extra == "convs":
            above = ExtraConvs(channels[-1], out_channels)
        self.fpn = make_pyramid(channels, out_channels, above)
        more = {"none": 0, "pool": 1, "convs": 2}[extra]
        # Each level above has twice the stride of the one below.
        self.strides = (*body.strides, *(body.strides[-1] << n for n in range(1, more + 1)))
        self.names = tuple(f"p{stride.bit_length() - 1}" for stride in self.strides)

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.body(x)
        # The names of the extra levels are made by their block: zip stops at the backbone's.
        return self.fpn(OrderedDict(zip(self.names, maps, strict=False)))

    def fuse(self) -> FPNBackbone:
        """Make a copy for inference (eval mode): the norms on the maps folded into what reads the maps.

        These are the lateral 1x1 convolutions and, for RetinaNet, the padded 3x3 of P6.
        """
        # First inside the backbone; its norms on the maps remain for the readers below.
        fused = reparameterize_model(self).eval()
        assert isinstance(fused, FPNBackbone)
        norms = fused.body.take_out_norms()
        if norms:
            for norm, block in zip(norms, fused.fpn.inner_blocks, strict=True):
                block[0] = fold_before(norm, block[0])
            above = fused.fpn.extra_blocks
            if isinstance(above, ExtraConvs):
                # Padded: beyond the border is zero *after* the norm, so the shift is no mere bias.
                assert isinstance(above.p6, nn.Conv2d)
                above.p6 = NormedConv(norms[-1], above.p6)
        return fused
