"""Resize maps bilinearly in numpy, as ``torch.nn.functional.interpolate`` does, in its order."""

from __future__ import annotations

import numpy as np

Neighbours = tuple[np.ndarray, np.ndarray, np.ndarray]


def enlarge(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize float32 ``(..., h, w)`` to ``(..., height, width)`` without looking at more than 2x2.

    This is ``interpolate(mode="bilinear", align_corners=False)``.
    """
    return _between(x, _neighbours(x.shape[-2], height), _neighbours(x.shape[-1], width))


def enlarged_mask(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return where :func:`enlarge` of ``(h, w)`` is above 0, as bool ``(height, width)``.

    Only what lies round the positive part is computed: elsewhere a mean of what is not above 0 is not
    above 0 either.
    """
    result = np.zeros((height, width), bool)
    above = x > 0
    at_rows, at_columns = np.flatnonzero(above.any(1)), np.flatnonzero(above.any(0))
    if len(at_rows):
        rows = _near(_neighbours(x.shape[0], height), at_rows[0], at_rows[-1])
        columns = _near(_neighbours(x.shape[1], width), at_columns[0], at_columns[-1])
        where = rows[0], columns[0]
        result[where] = _between(x, rows[1], columns[1]) > 0
    return result


def _near(neighbours: Neighbours, first: int, last: int) -> tuple[slice, Neighbours]:
    """Return the wanted places of which a neighbour is one of ``first`` to ``last``."""
    low, high, share = neighbours
    where = slice(int(np.searchsorted(high, first)), int(np.searchsorted(low, last, "right")))
    return where, (low[where], high[where], share[where])


def _between(x: np.ndarray, rows: Neighbours, columns: Neighbours) -> np.ndarray:
    """Weigh first neighbouring columns, then neighbouring rows."""
    low, high, share = columns
    wide = x[..., low] * (1 - share) + x[..., high] * share
    low, high, share = rows
    result = wide[..., low, :]
    result *= (1 - share)[:, None]
    other = wide[..., high, :]
    other *= share[:, None]
    result += other
    return result


def _neighbours(length: int, wanted: int) -> Neighbours:
    """Return for each wanted place the two it lies between, and the second's share in it."""
    scale = np.float32(length) / np.float32(wanted)
    at = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    at = np.maximum(at, np.float32(0))
    low = np.minimum(at.astype(np.int64), length - 1)
    return low, np.minimum(low + 1, length - 1), at - low.astype(np.float32)


def antialiased(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize float32 ``(h, w)`` to ``(height, width)`` so that nothing falls between two pixels.

    This is ``interpolate(mode="bilinear", antialias=True)``: where the map becomes smaller, each pixel
    is a mean of all that lie under it, weighed by a triangle.
    """
    return _antialiased_rows(_antialiased_rows(x.T, width).T, height)


def _antialiased_rows(x: np.ndarray, wanted: int) -> np.ndarray:
    """Resize the first axis, summing up row by row in single precision, as PyTorch does."""
    length = x.shape[0]
    if wanted == length:
        return x
    scale = np.float32(length) / np.float32(wanted)
    support = np.maximum(scale, np.float32(1))
    centre = scale * (np.arange(wanted, dtype=np.float32) + np.float32(0.5))
    first = np.maximum((centre - support + np.float32(0.5)).astype(np.int64), 0)
    stop = np.minimum((centre + support + np.float32(0.5)).astype(np.int64), length)
    offsets = np.arange((stop - first).max())
    away = (offsets[:, None] + first).astype(np.float32) - centre + np.float32(0.5)
    weights = np.maximum(np.float32(1) - np.abs(away * (np.float32(1) / support)), 0)
    weights[offsets[:, None] >= stop - first] = 0
    total = np.zeros(wanted, np.float32)
    for row in weights:
        total += row
    weights /= total
    result = np.zeros((wanted, x.shape[1]), np.float32)
    for offset, weight in zip(offsets, weights, strict=True):
        part = x[np.minimum(first + offset, length - 1)].astype(np.float64)
        # One rounding for product and sum, as of the fused instruction that PyTorch's code compiles to.
        result = (part * weight[:, None] + result).astype(np.float32)
    return result
