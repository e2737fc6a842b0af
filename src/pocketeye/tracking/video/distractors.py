"""Which tracked frames show a look-alike beside an object that is tracked well: DAM4SAM's anchors.

The network answers with three masks that compete. Where one that was not chosen covers something away
from the object, something there looks like it, and a frame in which the network still chose rightly
tells how to tell the two apart (arXiv 2411.17576, section 3.2; arXiv 2509.13864).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from pocketeye.tracking.image.components import components

# All from arXiv 2411.17576, section 3.2.
_APART = 0.7  # below this share of the common box the alternative is somewhere else
_SURE = 0.8  # expected IoU of the chosen mask
_STEADY = 0.2  # how much its area may differ from the usual one
_NUM_AREAS = 10  # frames whose median area is the usual one
_STEP = 5  # frames between two anchors: closer ones show the same


@dataclass(slots=True)
class AnchorWatch:
    """Decides frame by frame whether a tracked object's frame is worth keeping as an anchor."""

    areas: deque[int] = field(default_factory=lambda: deque(maxlen=_NUM_AREAS))
    last: int | None = None  # the last anchor's frame

    def is_anchor(
        self, frame: int, mask: np.ndarray, masks: np.ndarray, expected_iou: float
    ) -> bool:
        """Look at one frame's answer; frames must come in the order in which they are tracked.

        Args:
            mask: logits ``(h, w)`` of the chosen mask; below 0 throughout where nothing was found.
            masks: logits ``(M, h, w)`` of all masks that competed, the chosen one among them.
            expected_iou: of the chosen mask, 0 to 1.
        """
        chosen, alternatives = mask > 0, masks > 0
        area = int(chosen.sum())
        if not area:
            return False
        usual = float(np.median(self.areas)) if self.areas else float(area)
        self.areas.append(area)
        if self.last is not None and abs(frame - self.last) < _STEP:
            return False
        steady = abs(area - usual) <= _STEADY * usual
        if not (steady and expected_iou > _SURE and shows_distractor(chosen, alternatives)):
            return False
        self.last = frame
        return True


def shows_distractor(chosen: np.ndarray, masks: np.ndarray) -> bool:
    """Return whether an alternative mask covers something away from the chosen one.

    Args:
        chosen: bool ``(h, w)``, not empty.
        masks: bool ``(M, h, w)``.
    """
    own = _box_area(chosen)
    for mask in masks:
        parts, areas = components(mask & ~chosen, diagonal=False)
        if len(areas) == 1:  # nothing but what is no part
            continue
        largest = parts == 1 + np.argmax(areas[1:])
        if own < _APART * _box_area(chosen | largest):
            return True
    return False


def _box_area(mask: np.ndarray) -> int:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1))
