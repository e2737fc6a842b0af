"""Make the result of a frame: masks in the pixels of the video, logits on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pocketeye.results import CompactMask, Masks, Result
from pocketeye.tracking.image.resize import enlarge, enlarged_mask
from pocketeye.tracking.video.confidence import ConfidenceCurve
from pocketeye.tracking.video.memory import FrameOutput
from pocketeye.tracking.video.signals import Signals

_SUPPRESSED = -10.0  # SAM 2's bound where another object wins the pixel: a probability of 5e-5


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackedFrame(Result):
    """Hold the objects of one frame.

    ``scores`` are probabilities that the object is in the frame. An object that is not (score below 0.5)
    has an empty mask.

    Attributes:
        low_res_masks: float32 ``(N, 1, h, w)`` logits of the network, small holes filled, at a quarter
            of its input's size. Logits at the video's size would be the largest thing in a result.
        non_overlapping: tells that each pixel belongs to one object at most.
        signals: what each answer shows of its own quality.
        confidence: float32 ``(N,)``, the probability that the mask has an IoU of 0.5 or more with the
            object, as it was measured on clips with truth; None for weights that nobody measured.
    """

    low_res_masks: np.ndarray
    non_overlapping: bool = False
    signals: tuple[Signals, ...] = ()
    confidence: np.ndarray | None = None

    @property
    def logits(self) -> np.ndarray:
        """float32 ``(N, height, width)``, computed when asked for; masks are where it is above 0."""
        return at_video_size(self.low_res_masks, self.size, self.non_overlapping)

    def table(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`Result.table`, each with its ``confidence`` or None."""
        known = self.confidence
        confidence = [None] * len(self) if known is None else known.round(4).astype(float).tolist()
        return [
            {**row, "confidence": value}
            for row, value in zip(super().table(), confidence, strict=True)
        ]


def at_video_size(low: np.ndarray, size: tuple[int, int], non_overlapping: bool) -> np.ndarray:
    """Enlarge logits ``(N, 1, h, w)`` to ``(N, height, width)``.

    Args:
        size: (width, height) of the video.
        non_overlapping: leave each pixel to the object with the largest logit there.
    """
    logits = enlarge(low[:, 0], size[1], size[0])
    if non_overlapping and len(logits) > 1:
        loses = logits.argmax(0) != np.arange(len(logits))[:, None, None]
        np.minimum(logits, np.float32(_SUPPRESSED), out=logits, where=loses)
    return logits


def _compact(low: np.ndarray, size: tuple[int, int], non_overlapping: bool) -> Masks:
    """Return where the logits are above 0 at the size of the video."""
    # Cut after enlarging, not before: the outline then lies between the network's pixels.
    if non_overlapping and len(low) > 1:
        return Masks.from_dense(at_video_size(low, size, non_overlapping) > 0)
    masks = (enlarged_mask(one, size[1], size[0]) for one in low[:, 0])
    return Masks(size=size, items=tuple(CompactMask.from_dense(mask) for mask in masks))


def tracked_frame(
    frame: int,
    size: tuple[int, int],
    answers: Sequence[tuple[int, FrameOutput]],
    low_shape: tuple[int, int],
    image: np.ndarray | None,
    non_overlapping: bool,
    curve: ConfidenceCurve | None = None,
) -> TrackedFrame:
    """Make the result from the answers, each with its object's id."""
    signals = tuple(answer.signals for _, answer in answers if answer.signals is not None)
    parts = [answer.low_res_masks for _, answer in answers]
    low = np.concatenate(parts) if parts else np.zeros((0, 1, *low_shape), np.float32)
    scores = np.array([answer.score for _, answer in answers])
    return TrackedFrame(
        size=size,
        masks=_compact(low, size, non_overlapping),
        scores=(1 / (1 + np.exp(-scores))).astype(np.float32),
        object_ids=[object_id for object_id, _ in answers],
        image=image,
        frame=frame,
        low_res_masks=low,
        non_overlapping=non_overlapping,
        signals=signals,
        confidence=None if curve is None else np.asarray([*map(curve.of, signals)], np.float32),
    )
