"""Say what segmenting an image asks of a network, in plain arrays; an engine can answer it too."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from pocketeye.models.tam.prompt_numbers import NO_POINT
from pocketeye.tracking.engine.base import Engine


class ImageModel(ABC):
    """Answer to prompts in images.

    Attributes:
        image_size: (height, width) of the network's input.
    """

    image_size: tuple[int, int]

    @abstractmethod
    def embed(self, images: Sequence[np.ndarray]) -> list[Any]:
        """Return what the network knows of each image, uint8 RGB ``(height, width, 3)``."""

    @abstractmethod
    def decode(
        self,
        seen: Any,
        points: np.ndarray,
        labels: np.ndarray,
        mask: np.ndarray | None,
        multimask: bool | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Predict logits ``(B, M, h, w)`` and expected IoUs ``(B, M)``; M is 1, or 3 that compete.

        Args:
            seen: of :meth:`embed`.
            points: float32 ``(B, P, 2)`` in pixels of the network's input.
            labels: int64 ``(B, P)``.
            mask: float32 ``(B, 1, h, w)`` logits, or None.
            multimask: whether three masks compete; None: where there is one point or none.
        """


class EngineModel(ImageModel):
    """Let an engine answer, one object after another: so an exported tracker segments images.

    Args:
        engine: of a tracker.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine, self.image_size = engine, engine.facts.image_size

    def embed(self, images: Sequence[np.ndarray]) -> list[Any]:
        """See :class:`ImageModel`; resized bilinearly, as the official image predictor does."""
        height, width = self.image_size
        resized = (
            Image.fromarray(each).resize((width, height), Image.Resampling.BILINEAR)
            for each in images
        )
        return [self.engine.encode(np.asarray(each)) for each in resized]

    def decode(
        self,
        seen: Any,
        points: np.ndarray,
        labels: np.ndarray,
        mask: np.ndarray | None,
        multimask: bool | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`ImageModel`."""
        found = []
        for row in range(len(points)):
            # A point that is none says that there is only the mask; the engine says so itself.
            given = labels[row] != NO_POINT
            at, of = points[row : row + 1, given], labels[row : row + 1, given]
            found.append(
                self.engine.prompt(
                    seen, None, at if given.any() else None, of if given.any() else None,
                    None if mask is None else mask[row : row + 1],
                    stability_fallback=True, multimask=multimask,
                )
            )  # fmt: skip
        masks = np.concatenate([each.masks for each in found])
        return masks, np.concatenate([each.ious for each in found])
