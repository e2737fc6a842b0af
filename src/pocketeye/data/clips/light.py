"""Change the colours of a clip: the same change in all of its frames, or one that is smooth in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_GREY = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Largest changes of brightness, contrast and saturation, and how often a clip is grey.

    The values are those of the paper's training (EfficientTAM, appendix).
    """

    brightness: float = 0.1
    contrast: float = 0.03
    saturation: float = 0.03
    grey: float = 0.05

    def __call__(self, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """Change float frames ``(T, 3, H, W)`` of 0 to 255, alike in all frames; clamped, uint8."""
        bright, contrast, saturation = (
            1.0 + float(rng.uniform(-most, most))
            for most in (self.brightness, self.contrast, self.saturation)
        )
        if rng.random() < self.grey:
            saturation = 0.0
        # One matrix for all three changes: the frames are read once.
        mix = bright * contrast * (saturation * torch.eye(3) + (1.0 - saturation) * _GREY)
        mean = float(_GREY @ frames.mean((0, 2, 3))) * bright
        # In place: frames are the largest arrays of a clip.
        flat = mix @ frames.flatten(2)
        changed = flat.add_((1.0 - contrast) * mean).clamp_(0.0, 255.0).round_()
        return changed.to(torch.uint8).view_as(frames)


def shine(frames: Tensor, gain: np.ndarray, slope: np.ndarray) -> Tensor:
    """Change the light over time and over the image, in place.

    Args:
        frames: float ``(T, 3, H, W)``.
        gain: ``(T, 3)``, of the colours.
        slope: ``(T, 2)``, by how much the gain grows from the middle to the right and to the bottom.
    """
    height, width = frames.shape[2:]
    x, y = torch.linspace(-1.0, 1.0, width), torch.linspace(-1.0, 1.0, height)
    tilt = torch.from_numpy(slope.astype(np.float32))
    ramp = 1.0 + tilt[:, 0, None, None] * x + tilt[:, 1, None, None] * y[:, None]
    gains = torch.from_numpy(gain.astype(np.float32))
    return frames.mul_(gains[:, :, None, None]).mul_(ramp[:, None])
