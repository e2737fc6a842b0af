"""Resize images of any shape for torchvision's detectors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes


class AnyShapeTransform(GeneralizedRCNNTransform):
    """As torchvision's, but an image so long and thin that its shorter side would be no pixel is one.

    Of 900x2 pixels, made 106 long, torchvision would make 106x0 and stop. Such images are stretched
    across first, so that one pixel remains; boxes are those of the image all the same, as height and
    width are always brought back each by their own ratio.
    """

    def resize(
        self, image: Tensor, target: dict[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any] | None]:
        height, width = image.shape[-2:]
        least = -(-max(height, width) // self.max_size)
        if min(height, width) < least:
            size = max(height, least), max(width, least)
            image = F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
            if target is not None:
                target = {**target, "boxes": resize_boxes(target["boxes"], [height, width], size)}
                if "masks" in target:
                    masks = target["masks"][:, None].to(torch.uint8)
                    target["masks"] = F.interpolate(masks, size)[:, 0]
        return super().resize(image, target)
