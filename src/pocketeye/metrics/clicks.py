"""Find where a person would click to correct a mask: in the middle of the largest mistake."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage


class ErrorClick(NamedTuple):
    """Hold a pixel's ``x`` and ``y``. ``label``: 1 on the object (missing), 0 beside it (too much)."""

    x: int
    y: int
    label: int


def error_click(mask: np.ndarray, truth: np.ndarray) -> ErrorClick | None:
    """Return the click that corrects the largest wrong region; None where nothing is wrong.

    Regions are connected over eight neighbours, missing and superfluous ones apart. Of the largest
    the pixel is taken that is furthest from its border, the border of the image included. Among
    equals the missing region comes first, then the upper, then the left pixel.

    Args:
        mask: bool ``(height, width)``; all False for the first click on an object.
        truth: the same.
    """
    best: np.ndarray | None = None
    most, label = 0, 1
    for wrong, kind in ((truth & ~mask, 1), (mask & ~truth, 0)):
        region, area = _largest(wrong)
        if area > most:
            best, most, label = region, area, kind
    # Larger, not as large: missing comes first among equals.
    if best is None:
        return None
    y, x = interior_point(best)
    return ErrorClick(x, y, label)


def interior_point(region: np.ndarray) -> tuple[int, int]:
    """Return (y, x) of the pixel of a bool ``(height, width)`` that is furthest from its border."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    assert len(rows), "an empty region has no interior"
    # Only the region's box: the distance transform of a whole image is slow.
    inside = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # Padded: the border of the image is a border of the region too.
    distance = ndimage.distance_transform_edt(np.pad(inside, 1))
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    # Less the padding.
    return int(rows[0] + y - 1), int(columns[0] + x - 1)


def _largest(wrong: np.ndarray) -> tuple[np.ndarray, int]:
    # Eight neighbours: regions that touch at a corner are one to a person.
    labels, count = ndimage.label(wrong, np.ones((3, 3), bool))
    if not count:
        return wrong, 0
    areas = np.bincount(labels.ravel())[1:]  # the first count is that of the background
    largest = int(areas.argmax())
    return labels == largest + 1, int(areas[largest])
