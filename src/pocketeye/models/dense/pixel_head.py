"""Put Semantic FPN behind the layers of a search space: which maps it reads, and the head on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models.dense.backbone import STRIDES
from pocketeye.models.dense.fpn import make_pyramid
from pocketeye.models.dense.semantic_fpn import SemanticHead, resize
from pocketeye.models.size import reduced, sides, size_text
from pocketeye.models.space import SearchSpace


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmenterSpec:
    """Say what stands behind the maps of a backbone, the same for every one of a space.

    Attributes:
        num_classes: of the pixels.
        fpn_channels: width of the pyramid.
        head_channels: width of the head.
    """

    num_classes: int
    fpn_channels: int = 256
    head_channels: int = 128

    def __post_init__(self) -> None:
        for name, least in (("num_classes", 1), ("fpn_channels", 8), ("head_channels", 8)):
            if getattr(self, name) < least:
                raise InvalidValue(f"{name} must be at least {least}, got {getattr(self, name)}")

    def __str__(self) -> str:
        return (
            f"Semantic FPN of {self.num_classes} classes, pyramid {self.fpn_channels} and head "
            f"{self.head_channels} wide"
        )


def map_layers(space: SearchSpace) -> dict[int, int]:
    """Return the last layer at each of the strides 4 to 32, with its channels, finest first.

    Raises:
        InvalidValue: the space never has one of the strides.
    """
    last, reduction = {}, space.stem_stride
    for number, position in enumerate(space.positions):
        reduction *= position.stride
        # Later layers of one stride overwrite earlier ones: the last has been through the most.
        last[reduction] = number
    if missing := [stride for stride in STRIDES if stride not in last]:
        raise InvalidValue(
            f"a segmenter needs maps at strides {', '.join(map(str, STRIDES))}; the space "
            f"{space.name!r} has none at {', '.join(map(str, missing))} (it has "
            f"{', '.join(map(str, last))})"
        )
    return {last[stride]: space.positions[last[stride]].out_chs for stride in STRIDES}


def require_segmenters(space: SearchSpace) -> None:
    """Check that networks of ``space`` can be segmenters of its images.

    Raises:
        InvalidValue: they cannot; the sentence says why.
    """
    map_layers(space)
    # The data sets of segmenters are colour images.
    if space.in_chans != 3:
        raise InvalidValue(
            f"a segmenter sees 3 channels, but the space {space.name!r} is for {space.in_chans}"
        )
    # Below the coarsest stride its map would be a single pixel that is mostly border.
    if min(sides(space.input_size)) < STRIDES[-1]:
        raise InvalidValue(
            f"a segmenter sees images of {STRIDES[-1]} pixels or more, got "
            f"{size_text(space.input_size)}"
        )


def map_shapes(space: SearchSpace) -> list[tuple[int, int, int]]:
    """Return (channels, height, width) of those maps at the input size of the space."""
    shapes = []
    for number, chs in map_layers(space).items():
        position = space.positions[number]
        shapes.append((chs, *sides(reduced(position.size, position.stride))))
    return shapes


class PixelHead(nn.Module):
    """Put pyramid and head of Semantic FPN on the maps of a space, for ``SuperNet(…, pixel_head=…)``.

    Args:
        space: where the maps come from.
        spec: number of classes and widths.
        drop_rate: before the classifier.

    Attributes:
        layers: numbers of the layers whose maps are read.

    Raises:
        InvalidValue: the space never has one of the strides.
    """

    def __init__(self, space: SearchSpace, spec: SegmenterSpec, drop_rate: float = 0.1) -> None:
        super().__init__()
        chs = map_layers(space)
        self.layers = tuple(chs)
        self.pyramid = make_pyramid(list(chs.values()), spec.fpn_channels)
        self.head = SemanticHead(
            spec.fpn_channels, len(chs), spec.num_classes, spec.head_channels, drop_rate
        )

    def forward(self, maps: Mapping[int, Tensor], size: Sequence[int]) -> Tensor:
        """Turn maps by layer into logits (B, num_classes, *size)."""
        return resize(self.on_maps([maps[number] for number in self.layers]), tuple(size))

    def on_maps(self, maps: Sequence[Tensor]) -> Tensor:
        """Turn maps, finest first, into logits at stride 4: what an exported segmenter ends with."""
        # torchvision's pyramid takes a dictionary, whose order is what counts.
        named = {str(number): x for number, x in zip(self.layers, maps, strict=True)}
        logits: Tensor = self.head(list(self.pyramid(named).values()))
        return logits
