"""Hold the frame that a session looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketeye.models.tam import ImageFeatures


@dataclass(slots=True, eq=False)
class View:
    """Hold one frame, and its features once something needs them.

    Attributes:
        image: uint8 RGB ``(height, width, 3)``.
        seen: the encoder's output, shared by all objects; None until it is computed.
    """

    frame: int
    image: np.ndarray
    seen: ImageFeatures | None = None
