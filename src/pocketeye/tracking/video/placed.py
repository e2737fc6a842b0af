"""Hold what a user points at, and bring it into the pixels of the network's input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketeye.tracking.image.resize import antialiased


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Prompt:
    """Hold either points with labels, in pixels of the video, or a mask.

    A box is two points with the labels of its corners, as in SAM.
    """

    points: tuple[tuple[float, float], ...] = ()
    labels: tuple[int, ...] = ()
    mask: np.ndarray | None = None  # bool (height, width)

    def arrays(
        self, size: tuple[int, int], image_size: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the points as an engine takes them.

        Args:
            size: (width, height) of the video.
            image_size: (height, width) of the network's input.

        Returns:
            Points float32 ``(1, P, 2)`` in pixels of the network's input, labels int64 ``(1, P)``.
        """
        scale = np.array([image_size[1] / size[0], image_size[0] / size[1]], np.float32)
        return np.array([self.points], np.float32) * scale, np.array([self.labels], np.int64)

    def network_mask(self, image_size: tuple[int, int]) -> np.ndarray:
        """Return the mask as float32 ``(1, 1, H, W)`` of 0 and 1, of the size of the input."""
        assert self.mask is not None
        # As SAM 2's add_new_mask: antialiased, then cut at one half.
        resized = antialiased(self.mask.astype(np.float32), *image_size)
        return (resized >= 0.5).astype(np.float32)[None, None]
