"""Decode masks as annotations write them: polygons and run lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pocketeye.data.files.annotations.scalars import read_id, read_number
from pocketeye.data.files.decode import UnreadableImage
from pocketeye.errors import InvalidValue
from pocketeye.results.rle import decode_crop, expand

_LOOKED_AT = 3  # first items of a list, which tell how its numbers are nested


class Given:
    """Hold a mask that is there already."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask = mask

    def __call__(self) -> np.ndarray:
        return self.mask


def read_outline(segmentation: Any) -> Any:
    """Return a ``segmentation`` as COCO writes it, from the ways other programs write it.

    One polygon without the outer list, points in pairs, numbers as text, run lengths in a list of
    one. What is none of these comes back as it is; :func:`flaw` says what is wrong with it.
    """
    # Some exporters put run lengths into a list.
    if isinstance(segmentation, list) and len(segmentation) == 1:
        inner = segmentation[0]
        segmentation = inner if isinstance(inner, Mapping) else segmentation
    if isinstance(segmentation, Mapping):
        return _read_rle(segmentation)
    if not isinstance(segmentation, list):
        return segmentation
    depth = _depth(segmentation)
    # 1: x, y, x, y …; 2: COCO's own, or one polygon of points; 3: polygons of points.
    pairs = depth == 2 and len(segmentation) >= 3 and all(len(p) == 2 for p in segmentation)
    polygons = [segmentation] if depth == 1 or pairs else segmentation
    return [_flat_numbers(polygon) for polygon in polygons]


def _depth(value: Any, most: int = 4) -> int:
    """Count how many lists lie in each other, up to ``most``; 0 where they are not alike."""
    if not isinstance(value, list) or not most:
        return 0
    # The first few tell: polygons are lists of thousands of numbers.
    inner = {_depth(item, most - 1) for item in value[:_LOOKED_AT]}
    return 1 + inner.pop() if len(inner) == 1 else 0


def _flat_numbers(polygon: Any) -> Any:
    """Return one list of numbers; what is no number in it stays, for :func:`flaw` to name."""
    if not isinstance(polygon, list):
        return polygon
    values = [v for item in polygon for v in (item if isinstance(item, list) else [item])]
    numbers = [read_number(value) for value in values]
    return values if None in numbers else numbers


def _read_rle(rle: Mapping[str, Any]) -> dict[str, Any]:
    size, counts = rle.get("size"), rle.get("counts")
    sides = [read_id(side) for side in size] if isinstance(size, list) else size
    if isinstance(counts, list):
        runs = [read_id(run) for run in counts]
        counts = counts if None in runs else runs
    return {"size": sides, "counts": counts}


def polygon_mask(polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> np.ndarray:
    """Fill polygons: bool ``(H, W)``, the pixels whose centre lies in one of x0, y0, x1, y1 …

    Args:
        polygons: of one object, in pixels; whole numbers are corners of pixels.
        size: (width, height).
    """
    mask = np.zeros(size[::-1], bool)
    for polygon in polygons:
        mask |= _filled(np.asarray(polygon, np.float64).reshape(-1, 2), size)
    return mask


def _filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Fill by the even-odd rule: along a row of pixels every edge that is crossed changes sides."""
    width, height = size
    ends = np.roll(points, -1, 0)
    low, high = np.minimum(points[:, 1], ends[:, 1]), np.maximum(points[:, 1], ends[:, 1])
    first = np.clip(np.ceil(low - 0.5), 0, height).astype(int)  # rows whose centre an edge spans
    counts = np.clip(np.ceil(high - 0.5), 0, height).astype(int) - first
    edge = np.repeat(np.arange(len(points)), counts)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts) + first[edge]
    (x0, y0), (x1, y1) = points[edge].T, ends[edge].T
    crossed = x0 + (rows + 0.5 - y0) / (y1 - y0) * (x1 - x0)
    columns = np.clip(np.ceil(crossed - 0.5), 0, width).astype(int)
    # One more column, for edges that are crossed beyond the right border.
    # An odd number of crossings to the left means inside.
    turns = np.bincount(rows * (width + 1) + columns, minlength=height * (width + 1))
    turns = turns.reshape(height, width + 1)[:, :width].astype(np.uint8)
    return np.bitwise_and(np.cumsum(turns, 1, dtype=np.uint8), 1) > 0


def runs_of(rle: Mapping[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Check the run lengths of COCO's ``{"size", "counts"}``, compressed or not, and return them.

    Raises:
        UnreadableImage: they are damaged, or not those of an image of (width, height).
    """
    height, width = rle["size"]
    counts = rle["counts"]
    if (width, height) != size:
        raise UnreadableImage(
            f"a mask of {width}x{height} for an image of {size[0]}x{size[1]} pixels"
        )
    try:
        runs = expand(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
    except (InvalidValue, ValueError, TypeError, OverflowError) as error:
        raise UnreadableImage("damaged run lengths") from error
    # Negative or missing runs would fill other pixels without a word.
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != width * height:
        raise UnreadableImage(
            f"run lengths of {runs.sum()} pixels for an image of {width}x{height}"
        )
    return runs


def runs_mask(runs: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Fill run lengths: bool ``(H, W)`` of an image of (width, height)."""
    crop, (x0, y0, x1, y1) = decode_crop(runs, size)
    mask = np.zeros(size[::-1], bool)
    mask[y0:y1, x0:x1] = crop
    return mask


def outline_mask(outline: Any, size: tuple[int, int]) -> np.ndarray:
    """Fill COCO's polygons or run lengths: bool ``(H, W)`` of an image of (width, height)."""
    if isinstance(outline, Mapping):
        return runs_mask(runs_of(outline, size), size)
    return polygon_mask(outline, size)


def outline_box(outline: Any, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return x0, y0, x1, y1 around COCO's polygons or run lengths, in an image of (width, height)."""
    if isinstance(outline, Mapping):
        return decode_crop(runs_of(outline, size), size)[1]
    points = np.concatenate([np.asarray(p, np.float64).reshape(-1, 2) for p in outline])
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    return float(x0), float(y0), float(x1), float(y1)


def flaw(segmentation: object, size: tuple[int, int] | None = None) -> str | None:
    """Say what is wrong with an annotation's ``segmentation``; None where nothing is.

    Args:
        size: (width, height) of the image, to hold run lengths against; None for the form only.
    """
    # Run lengths and polygons are told by their type alone, as in COCO.
    if isinstance(segmentation, Mapping):
        return _rle_flaw(segmentation, size)
    if not isinstance(segmentation, list) or not segmentation:
        return "no polygon"
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            return "a polygon of fewer than three points"
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in polygon):
            return "a polygon with something else than numbers"
    return None


def _rle_flaw(rle: Mapping[str, Any], size: tuple[int, int] | None) -> str | None:
    sides = rle.get("size")
    formed = isinstance(sides, list) and len(sides) == 2 and all(isinstance(s, int) for s in sides)
    if not formed or not isinstance(rle.get("counts"), str | list):
        return "run lengths without size and counts"
    if size is None:
        return None
    try:
        return None if runs_of(rle, size)[1::2].any() else "a mask without a filled pixel"
    except UnreadableImage as error:
        return str(error)
