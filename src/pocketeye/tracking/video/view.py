"""The frame that a session looks at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pocketeye.models.tam import ImageFeatures


@dataclass(slots=True, eq=False)
class View:
    """Its features are computed when something needs them."""

    frame: int
    image: np.ndarray
    seen: ImageFeatures | None = None
