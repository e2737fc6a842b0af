"""Check what a user points at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.models.tam.prompt_numbers import BOTTOM_RIGHT, TOP_LEFT
from pocketeye.results import CompactMask
from pocketeye.tracking.image.prompts import Size, read_box, read_points, without_torch
from pocketeye.tracking.video.placed import Prompt


def parse_prompt(size: Size, points: Any, labels: Any, box: Any, mask: Any) -> Prompt:
    """Check what :meth:`Session.add` was given, for a video of ``size``.

    Raises:
        InvalidValue, InvalidType: nothing, a contradiction, or something outside of the frame.
    """
    if mask is not None:
        if points is not None or labels is not None or box is not None:
            raise InvalidValue("a mask says everything: give it without points, labels or box")
        return Prompt(mask=_mask(mask, size))
    if labels is not None and points is None:
        raise InvalidValue("labels belong to points: give points= as well")
    corners = [] if box is None else read_box(box, size).tolist()
    clicks, marks = read_points([] if points is None else points, labels, size)
    given = [*corners, *clicks.tolist()]
    if not given:
        raise InvalidValue("nothing points at the object: give points=, box= or mask=")
    return Prompt(
        points=tuple((x, y) for x, y in given),
        # SAM 2 wants a box before any point.
        labels=(*((TOP_LEFT, BOTTOM_RIGHT) if corners else ()), *marks.tolist()),
    )


def _mask(mask: Any, size: Size) -> np.ndarray:
    if isinstance(mask, CompactMask):
        mask = mask.dense()
    mask = without_torch(mask)
    if not isinstance(mask, np.ndarray):
        raise InvalidType(
            f"a mask is an array (height, width) of bool or integers, got {type(mask).__name__}"
        )
    if mask.dtype != np.bool_ and not np.issubdtype(mask.dtype, np.integer):
        raise InvalidType(
            f"a mask is bool or integers with 0 for the background, got {mask.dtype}: "
            "compare it with a threshold first, such as mask > 0"
        )
    if mask.shape != (size[1], size[0]):
        raise InvalidValue(
            f"the mask has the shape {mask.shape}, but the frames are {size[0]}x{size[1]}: "
            f"expected {(size[1], size[0])}, height before width"
        )
    return mask != 0


def check_object_id(object_id: Any) -> int:
    """Return an object's id as an int.

    Raises:
        InvalidType, InvalidValue: it is not a whole number from 1 up.
    """
    # True is an int to Python, and never meant as object 1.
    if isinstance(object_id, bool) or not isinstance(object_id, int | np.integer):
        raise InvalidType(f"an object's id is a whole number from 1 up, got {object_id!r}")
    if object_id < 1:
        raise InvalidValue(f"an object's id is a whole number from 1 up, got {object_id}")
    return int(object_id)


def named(ids: Sequence[int]) -> str:
    """Return ids as they stand in a sentence."""
    return ", ".join(map(str, ids)) if ids else "none"
