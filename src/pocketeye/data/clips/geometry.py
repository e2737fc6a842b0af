"""Augment geometry as the paper does, alike for a whole clip: crop, flip, rotation and shear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pocketeye.data.clips.warp import points_of, sample


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Hold one random map for all frames of a clip.

    Attributes:
        degrees: largest rotation to either side.
        shear: largest shear in degrees to either side, along both axes.
        scale: smallest and largest share of the image's sides that is seen.
        flip: how often left and right change places.
        still: how often there is nothing but the crop and the flip.
    """

    degrees: float = 25.0
    shear: float = 20.0
    scale: tuple[float, float] = (0.6, 1.0)
    flip: float = 0.5
    still: float = 0.25

    def theta(self, rng: np.random.Generator, aspect: float) -> np.ndarray:
        """Return ``(1, 2, 3)`` from points of the square output to points of the image.

        Args:
            aspect: width over height of the image, so that a rotation is one in its pixels.
        """
        seen = rng.uniform(*self.scale, size=2) if self.scale[1] > self.scale[0] else self.scale
        angle, *shears = np.deg2rad(
            rng.uniform(-1, 1, 3) * (self.degrees, self.shear, self.shear)
        ).tolist()
        if rng.random() < self.still:
            angle, shears = 0.0, [0.0, 0.0]
        cosine, sine = np.cos(angle), np.sin(angle)
        linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array(
            [[1.0, np.tan(shears[0])], [np.tan(shears[1]), 1.0]]
        )
        # Turn in the image's own pixels: in the square it is stretched to, a turn would be a shear.
        to_pixels = np.diag([aspect, 1.0])
        linear = np.linalg.inv(to_pixels) @ linear @ to_pixels @ np.diag(seen)
        if rng.random() < self.flip:
            linear[:, 0] *= -1.0
        # The crop stays inside the image, as far as it is not turned.
        shift = rng.uniform(-1, 1, 2) * (1.0 - np.asarray(seen))
        return np.concatenate([linear, shift[:, None]], 1)[None]


def warp_clip(frames: Tensor, masks: Tensor, theta: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
    """Warp all frames and masks by one map; what lies outside the image has its mean colour.

    Args:
        frames: uint8 ``(T, 3, H, W)``.
        masks: bool ``(K, T, H, W)``.
        theta: ``(1, 2, 3)``.
        size: side of the output.

    Returns:
        float ``(T, 3, size, size)`` of 0 to 255 and bool ``(K, T, size, size)``.
    """
    points = points_of(theta, size, (0, 0, size, size))
    # a mean of some pixels will do
    mean = frames[:, :, ::4, ::4].float().mean((0, 2, 3))[:, None, None]
    colours = torch.empty(len(frames), 3, size, size)
    warped = torch.empty(len(masks), len(frames), size, size, dtype=torch.bool)
    for time, frame in enumerate(frames):  # one by one they fit into the processor's cache
        # grid_sample fills with zeros: less the mean and plus the mean, that is the mean.
        colours[time] = sample(frame.float().sub_(mean), points)[0].add_(mean)
        warped[:, time] = sample(masks[:, time].float(), points)[0] > 0.5
    return colours, warped
