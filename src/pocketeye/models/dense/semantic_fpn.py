"""Build Semantic FPN (arXiv 1901.02446) with the numbers of mmsegmentation: every pixel a class.

A pyramid of strides 4 to 32; every level is brought to stride 4 by as many steps of 3x3 convolution,
BN, ReLU and doubling as that takes; their sum, with dropout, is classified and doubled twice more.
"""

from __future__ import annotations

import itertools

from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn import functional as F

from pocketeye.models.dense.fpn import FPNBackbone


class SemanticFPN(nn.Module):
    """Turn ``(N, 3, H, W)``, normalised, into logits ``(N, num_classes, H, W)``; any size.

    Args:
        backbone: pyramid of strides 4 to 32.
        num_classes: all of them, a background too where the data has one.
        channels: width of the head.
        drop_rate: of whole channels, before the classifier.
        full_size: False leaves the logits at stride 4, ``(N, num_classes, ceil(H/4), ceil(W/4))``:
            for losses and graphs that resize themselves.
        sync_norms: whether BN in the head takes its statistics over all processes.
    """

    variant: str | None = None

    def __init__(
        self,
        backbone: FPNBackbone,
        num_classes: int,
        channels: int = 128,
        drop_rate: float = 0.1,
        full_size: bool = True,
        sync_norms: bool = False,
    ) -> None:
        super().__init__()
        self.backbone, self.full_size, self.num_classes = backbone, full_size, num_classes
        head = SemanticHead(backbone.out_channels, len(backbone.strides), num_classes, channels,
                            drop_rate)  # fmt: skip
        # By default the backbone's BN is fixed: this is the one that needs statistics of all processes.
        self.head = convert_sync_batchnorm(head) if sync_norms else head

    def forward(self, x: Tensor) -> Tensor:
        logits = self.head(list(self.backbone(x).values()))
        # Four times as large, as mmsegmentation does it: the head itself ends at stride 4.
        return resize(logits, x.shape[-2:]) if self.full_size else logits


class SemanticHead(nn.Module):
    """Turn maps of stride 4, 8, 16 … into logits at stride 4."""

    def __init__(
        self, in_chs: int, num_levels: int, num_classes: int, channels: int, drop_rate: float
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            _to_stride_4(in_chs, channels, doublings) for doublings in range(num_levels)
        )
        # Whole channels, as in mmsegmentation: single values would be filled in from their neighbours.
        self.drop = nn.Dropout2d(drop_rate)
        self.classifier = nn.Conv2d(channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)  # mmsegmentation's
        assert self.classifier.bias is not None
        nn.init.zeros_(self.classifier.bias)

    def forward(self, maps: list[Tensor]) -> Tensor:
        total = self.levels[0](maps[0])
        for level, feature in zip(itertools.islice(self.levels, 1, None), maps[1:], strict=True):
            # Doubled maps are a little larger where the map below was of odd size.
            total = total + resize(level(feature), total.shape[-2:])
        return self.classifier(self.drop(total))


class ConvNormAct(nn.Module):
    """Apply a 3x3 convolution without bias, BN and ReLU."""

    def __init__(self, in_chs: int, out_chs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chs, out_chs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_chs)
        # mmcv's initialisation of such a block.
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize bilinearly; corners of pixels, not their centres, are aligned."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def _to_stride_4(in_chs: int, channels: int, doublings: int) -> nn.Sequential:
    steps: list[nn.Module] = []
    # The finest level has nothing to double, and gets its convolution all the same.
    for number in range(max(doublings, 1)):
        steps.append(ConvNormAct(channels if number else in_chs, channels))
        if doublings:
            steps.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
    return nn.Sequential(*steps)
