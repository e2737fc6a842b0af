"""The end of a supernet of segmenters: the maps it reads, and the head of Semantic FPN on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models.dense_backbone import STRIDES
from pocketeye.models.fpn import make_pyramid
from pocketeye.models.semantic_fpn import SemanticHead, resize
from pocketeye.models.space import SearchSpace


def map_layers(space: SearchSpace) -> dict[int, int]:
    """The last layer at each of the strides 4, 8, 16 and 32, with its channels, finest first.

    Raises:
        InvalidValue: the space never has one of the strides.
    """
    last, reduction = {}, space.stem_stride
    for number, position in enumerate(space.positions):
        reduction *= position.stride
        last[reduction] = number
    if missing := [stride for stride in STRIDES if stride not in last]:
        raise InvalidValue(
            f"a segmenter needs maps at strides {', '.join(map(str, STRIDES))}; the space "
            f"{space.name!r} has none at {', '.join(map(str, missing))} (it has "
            f"{', '.join(map(str, last))})"
        )
    return {last[stride]: space.positions[last[stride]].out_chs for stride in STRIDES}


class PixelHead(nn.Module):
    """Pyramid and head of Semantic FPN on the maps of a space, for ``SuperNet(space, pixel_head=…)``.

    Args:
        space: where the maps come from.
        num_classes: of the pixels.
        fpn_channels: width of the pyramid.
        channels: width of the head.
        drop_rate: before the classifier.

    Attributes:
        layers: numbers of the layers whose maps are read.

    Raises:
        InvalidValue: the space never has one of the strides.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        fpn_channels: int = 256,
        channels: int = 128,
        drop_rate: float = 0.1,
    ) -> None:
        super().__init__()
        chs = map_layers(space)
        self.layers = tuple(chs)
        self.pyramid = make_pyramid(list(chs.values()), fpn_channels)
        self.head = SemanticHead(fpn_channels, len(chs), num_classes, channels, drop_rate)

    def forward(self, maps: Mapping[int, Tensor], size: Sequence[int]) -> Tensor:
        """Maps by layer to logits (B, num_classes, *size)."""
        named = {str(number): maps[number] for number in self.layers}
        return resize(self.head(list(self.pyramid(named).values())), tuple(size))


class PixelPath(nn.Module):
    """One network of a supernet of segmenters: images (B, C, H, W) to logits (B, K, H, W)."""

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
