"""A network whose masks are known: everything of the colour that was clicked on or boxed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN as MEAN, IMAGENET_DEFAULT_STD as STD
from torch import Tensor, nn

from pocketeye.models.tam import ImageFeatures, Prediction
from pocketeye.models.tam.prompt_numbers import TOP_LEFT

Disc = tuple[int, int, int, tuple[int, int, int]]
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255), (0, 255, 255)]


class ByColour(nn.Module):
    """Stands in for :class:`pocketeye.models.TAM`; the image is its own features.

    Three masks compete: the colour's, with an expected IoU of 0.9 (0.2 for colours that are not
    pure, so at edges); all that is coloured, which is unsure (0.3); and one that is sure (0.85) but
    wavers: positive by a hair everywhere.
    """

    def __init__(self, image_size: tuple[int, int] = (128, 128)) -> None:
        super().__init__()
        self.image_size = image_size
        self.weight = nn.Parameter(torch.zeros(1))
        self.encoded = 0
        self.prompts: list[tuple[Tensor, Tensor, Tensor | None]] = []

    @property
    def image_encoder(self) -> ByColour:
        return self

    def for_inference(self) -> ByColour:
        return self

    def encode_image(self, image: Tensor) -> ImageFeatures:
        assert image.shape[1:] == (3, *self.image_size)
        self.encoded += len(image)
        return ImageFeatures(image)

    def without_memory(self, feat: Tensor) -> Tensor:
        return feat

    def predict(
        self,
        feat: Tensor,
        points: Tensor,
        labels: Tensor,
        mask: Tensor | None,
        multimask: bool,
        details: tuple[Tensor, ...],
    ) -> Prediction:
        assert details == ()
        self.prompts.append((points, labels, mask))
        shares = feat * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
        at = points[:, 0]
        if labels[0, 0] == TOP_LEFT:
            at = points[:, :2].mean(1)
        x, y = at.long().unbind(-1)
        clicked = shares[0][:, y, x].T[:, :, None, None]
        same = (shares.round() == clicked.round()).all(1, keepdim=True)
        coloured = shares.round().any(1, keepdim=True).expand_as(same)
        masks = torch.cat([coloured, same, torch.ones_like(same)], 1).float()
        masks = (200 * F.avg_pool2d(masks, 4) - 98).clamp(-20, 20)
        masks[:, 2] = 0.5
        ious = torch.tensor([[0.3, 0.9, 0.85]]).repeat(len(points), 1)
        ious[((clicked - clicked.round()).abs() > 0.02).flatten(1).any(1), 1] = 0.2
        if not multimask:
            masks, ious = masks[:, 1:2], ious[:, 1:2]
        best = ious.argmax(1)
        chosen = masks[torch.arange(len(masks)), best][:, None]
        return Prediction(masks, ious, chosen, points.flatten(1), ious[:, :1])


def make_image(size: tuple[int, int], discs: Sequence[Disc], grey: int = 100) -> np.ndarray:
    """Discs (x, y, radius, colour) on grey, uint8 RGB ``(height, width, 3)``."""
    image = np.full((size[1], size[0], 3), grey, np.uint8)
    for disc in discs:
        image[disc_mask(size, disc)] = disc[3]
    return image


def disc_mask(size: tuple[int, int], disc: Disc) -> np.ndarray:
    """Bool ``(height, width)``."""
    x, y, radius, _ = disc
    rows, columns = np.ogrid[: size[1], : size[0]]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
