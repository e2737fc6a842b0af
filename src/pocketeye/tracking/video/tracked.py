"""Make the result of a frame: masks in the pixels of the video, logits on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pocketeye.results import Masks, Result
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
        low_res_masks: ``(N, 1, h, w)`` logits of the network, small holes filled, at a quarter of its
            input's size. Logits at the video's size would be the largest thing that a result holds.
        non_overlapping: tells that each pixel belongs to one object at most.
        signals: what each answer shows of its own quality.
        confidence: float32 ``(N,)``, the probability that the mask has an IoU of 0.5 or more with the
            object, as it was measured on clips with truth; None for weights that nobody measured.
    """

    low_res_masks: Tensor
    non_overlapping: bool = False
    signals: tuple[Signals, ...] = ()
    confidence: np.ndarray | None = None

    @property
    def logits(self) -> np.ndarray:
        """float32 ``(N, height, width)``, computed when asked for; masks are where it is above 0."""
        return at_video_size(self.low_res_masks, self.size, self.non_overlapping).cpu().numpy()

    def table(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`Result.table`, each with its ``confidence`` or None."""
        known = self.confidence
        confidence = [None] * len(self) if known is None else known.round(4).astype(float).tolist()
        return [
            {**row, "confidence": value}
            for row, value in zip(super().table(), confidence, strict=True)
        ]


def at_video_size(low: Tensor, size: tuple[int, int], non_overlapping: bool) -> Tensor:
    """Enlarge logits ``(N, 1, h, w)`` to ``(N, height, width)``.

    Args:
        size: (width, height) of the video.
        non_overlapping: leave each pixel to the object with the largest logit there.
    """
    shape = (size[1], size[0])
    if not low.shape[0]:
        return low.new_zeros(0, *shape)
    logits = F.interpolate(low, size=shape, mode="bilinear", align_corners=False)[:, 0]
    if non_overlapping and logits.shape[0] > 1:
        numbers = torch.arange(logits.shape[0], device=logits.device)[:, None, None]
        wins = logits.argmax(0, keepdim=True) == numbers
        logits = torch.where(wins, logits, logits.clamp(max=_SUPPRESSED))
    return logits


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
    low = torch.cat(parts) if parts else torch.zeros(0, 1, *low_shape)
    # Cut after enlarging, not before: the outline then lies between the network's pixels.
    filled = (at_video_size(low, size, non_overlapping) > 0).cpu().numpy()
    scores = torch.tensor([answer.score for _, answer in answers]).sigmoid()
    return TrackedFrame(
        size=size,
        masks=Masks.from_dense(filled),
        scores=scores.numpy(),
        object_ids=[object_id for object_id, _ in answers],
        image=image,
        frame=frame,
        low_res_masks=low,
        non_overlapping=non_overlapping,
        signals=signals,
        confidence=None if curve is None else np.asarray([*map(curve.of, signals)], np.float32),
    )
