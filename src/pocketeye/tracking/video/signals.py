"""What an answer of a tracker shows of its own quality: numbers that exist without any truth.

None of them is a probability that the mask is right: a tracker that has drifted onto something else is
nearly as sure of it as it was of the object. :mod:`pocketeye.tracking.video.confidence` makes one of
them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_CLEAR_LOGIT = 1.0  # a logit of 1 is a probability of 0.73: pixels beyond it are hardly in doubt


class Signals(NamedTuple):
    """One object in one frame; of each, more is better.

    Attributes:
        score: logit that the object is in the frame.
        iou: what the network expects the mask's IoU to be, 0 to 1.
        stability: the margin of the logits: pixels above 1 as a share of those above -1, 0 to 1.
        agreement: IoU with the mask of the frame before, 0 to 1; 1 where there is none.
    """

    score: float
    iou: float
    stability: float
    agreement: float


def signals_of(
    mask: np.ndarray, score: float, iou: float, before: np.ndarray | None = None
) -> Signals:
    """Return the signals of an answer.

    Args:
        mask: its logits ``(1, 1, h, w)``.
        score, iou: what the network says of it.
        before: the logits of the frame before, where the object was tracked there.
    """
    outer = int(np.count_nonzero(mask > -_CLEAR_LOGIT))
    return Signals(
        score=score,
        iou=iou,
        stability=int(np.count_nonzero(mask > _CLEAR_LOGIT)) / outer if outer else 1.0,
        agreement=1.0 if before is None else _mask_iou(mask, before),
    )


def _mask_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Return the IoU of two masks of logits; 1 where both are empty."""
    ours, theirs = first > 0, second > 0
    either = int(np.count_nonzero(ours | theirs))
    return int(np.count_nonzero(ours & theirs)) / either if either else 1.0
