"""Make anchors and match them by the rules of mmdetection 2.x, in torchvision's classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList


class StridedAnchors(AnchorGenerator):
    """Make anchors around the corners ``(x * stride, y * stride)`` of a grid, of exact sizes.

    Per cell they are ordered by aspect ratio (height / width) first and size second, as in torchvision
    and in mmdetection. torchvision's own generator rounds widths and heights to pixels and takes for
    the stride of a level the image's size over the map's, 114 where P7 has 128 pixels for an image of
    800; and it computes in the maps' precision, in which bfloat16 cannot tell pixel 801 from 804.

    Args:
        strides: pixels between cells, per level.
        sizes: square roots of the anchors' areas in pixels, per level.
        aspect_ratios: the same on all levels.
    """

    def __init__(
        self,
        strides: Sequence[int],
        sizes: Sequence[Sequence[float]],
        aspect_ratios: Sequence[float],
    ) -> None:
        assert len(strides) == len(sizes)
        self.strides = tuple(strides)
        super().__init__(tuple(map(tuple, sizes)), (tuple(aspect_ratios),) * len(sizes))

    def generate_anchors(
        self,
        scales: Sequence[float],
        aspect_ratios: Sequence[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Return ``(len(aspect_ratios) * len(scales), 4)`` boxes around the origin."""
        # In float64, not rounded to pixels: small anchors would change their area by percents.
        sizes = torch.as_tensor(scales, dtype=torch.float64)
        roots = torch.as_tensor(aspect_ratios, dtype=torch.float64).sqrt()
        widths, heights = ((f[:, None] * sizes / 2).flatten() for f in (1 / roots, roots))
        boxes = torch.stack([-widths, -heights, widths, heights], dim=1)
        return boxes.to(device, dtype)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        self.set_cell_anchors(torch.float32, feature_maps[0].device)
        sizes = [list(feature.shape[-2:]) for feature in feature_maps]
        # The given strides, not those that torchvision infers from the padded image.
        anchors = torch.cat(self.grid_anchors(sizes, [[s, s] for s in self.strides]))
        # All images of a batch are padded to one size: they share their anchors.
        return [anchors for _ in image_list.image_sizes]


def octaves(strides: Sequence[int], base: float = 4.0, per_octave: int = 3) -> list[list[float]]:
    """Return RetinaNet's sizes: ``base`` strides, and the steps up to twice that."""
    return [[s * base * 2 ** (n / per_octave) for n in range(per_octave)] for s in strides]


class LowQualityMatcher(Matcher):
    """Match anchors to boxes: IoU at or above ``high`` matches, below ``low`` is background.

    Every box also gets the anchors that overlap it most, whatever box these overlap more, if the
    overlap is above ``least`` (or equal, where ``least`` is not 0). torchvision knows no ``least``,
    and leaves such an anchor to its own best box.
    """

    def __init__(self, high: float, low: float, least: float) -> None:
        super().__init__(high, low, allow_low_quality_matches=True)
        self.least = least

    def set_low_quality_matches_(
        self, matches: Tensor, all_matches: Tensor, match_quality_matrix: Tensor
    ) -> None:
        best = match_quality_matrix.amax(dim=1, keepdim=True)
        taken = (match_quality_matrix == best) & (best >= self.least) & (best > 0)
        # Of several boxes the last one takes the anchor.
        order = torch.arange(1, len(best) + 1, device=best.device, dtype=torch.int32)[:, None]
        box = (taken * order).amax(dim=0) - 1
        matches.copy_(torch.where(box >= 0, box, matches))
