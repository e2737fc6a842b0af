"""Hold the frame that a session looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketeye.tracking.engine.base import Features


@dataclass(slots=True, eq=False)
class View:
    """Hold one frame, and its features once something needs them.

    Attributes:
        image: uint8 RGB ``(height, width, 3)``.
        seen: what the engine keeps of it, shared by all objects; None until it is computed.
    """

    frame: int
    image: np.ndarray
    seen: Features | None = None
