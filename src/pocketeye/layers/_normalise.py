"""Bring pixels to the range that networks take."""

from __future__ import annotations

from collections.abc import Sequence

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor


def normalise(
    images: Tensor,
    mean: Sequence[float] = IMAGENET_DEFAULT_MEAN,
    std: Sequence[float] = IMAGENET_DEFAULT_STD,
) -> Tensor:
    """Return ``(x - mean) / std``, channel by channel.

    Args:
        images: ``(…, C, H, W)`` with values from 0 to 1.
        mean, std: of each channel; ImageNet's, as most published weights expect them.
    """
    centre, spread = (images.new_tensor(list(values))[:, None, None] for values in (mean, std))
    return (images - centre) / spread
