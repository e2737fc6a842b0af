"""Fill small holes and remove specks, the same on every device.

The rule is that of SAM 2 (``fill_holes_in_mask_scores``), whose code needs CUDA: a connected component
of the background, over eight neighbours, of at most ``max_area`` pixels becomes foreground; pixels at
the border of the image count like others. Specks are the same with the sides exchanged.
"""

from __future__ import annotations

import numpy as np

from pocketeye.errors import InvalidValue

_FILLED = 0.1  # what official code writes into filled pixels


def fill_holes(masks: np.ndarray, max_area: int) -> np.ndarray:
    """Fill background components of at most ``max_area`` pixels.

    Args:
        masks: bool, or logits whose foreground is above 0, of shape ``(..., height, width)``.
        max_area: in pixels of ``masks``; 0 changes nothing.

    Returns:
        A new array of that shape and dtype; filled logits are 0.1.

    Raises:
        InvalidValue: a negative area, or fewer than two axes.
    """
    return _change(masks, max_area, holes=True)


def remove_specks(masks: np.ndarray, max_area: int) -> np.ndarray:
    """Remove foreground components of at most ``max_area`` pixels; removed logits are -0.1.

    Arguments and the rest as in :func:`fill_holes`. A mask that is nothing but specks becomes empty.
    """
    return _change(masks, max_area, holes=False)


def _change(masks: np.ndarray, max_area: int, *, holes: bool) -> np.ndarray:
    if max_area < 0 or masks.ndim < 2:
        raise InvalidValue(
            f"the largest area is {max_area} pixels and the masks have the shape "
            f"{tuple(masks.shape)}: expected 0 or more, and (..., height, width)"
        )
    result = masks.copy()
    if not max_area or not masks.size:
        return result
    to: bool | float = holes
    if masks.dtype != np.bool_:
        to = _FILLED if holes else -_FILLED
    for mask in result.reshape(-1, *masks.shape[-2:]):  # views: a copy is contiguous
        shown = mask > 0
        where = _region(shown, max_area + 1 if holes else 0)
        if where is not None:
            inside = shown[where]
            mask[where][small_components(~inside if holes else inside, max_area)] = to
    return result


def small_components(mask: np.ndarray, max_area: int) -> np.ndarray:
    """Return a bool map of the components (eight neighbours) of at most ``max_area`` pixels."""
    labels, areas = components(mask, diagonal=True)
    small = areas <= max_area
    small[0] = False  # label 0 is everything else, not a component
    return small[labels] if small.any() else np.zeros(mask.shape, bool)


def components(mask: np.ndarray, *, diagonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Label the connected components of a mask, in the order of their first pixels.

    Args:
        mask: bool ``(height, width)``.
        diagonal: pixels are neighbours also over a corner.

    Returns:
        Labels ``(height, width)`` from 1 up, 0 outside of the mask, and the area of each label.
    """
    rows, starts, stops = _runs(mask)
    root = _roots(len(rows), *_touching(rows, starts, stops, mask.shape, diagonal))
    # Roots are the first runs of their components, so their order is that of the first pixels.
    kept, number = np.unique(root, return_inverse=True)
    areas = np.zeros(len(kept) + 1, np.int64)
    np.add.at(areas, number + 1, stops - starts)
    areas[0] = mask.size - areas.sum()
    # Each run adds its label where it begins and takes it back where it ends; sums lie between.
    edges = np.zeros((mask.shape[0], mask.shape[1] + 1), np.int64)
    edges[rows, starts] = number + 1
    edges[rows, stops] -= number + 1  # one run never begins where another ends
    return edges.cumsum(1)[:, :-1], areas


def _runs(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row, first and one-past-last column of each horizontal run, row by row."""
    padded = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    padded[:, 1:-1] = mask
    # One run of a row ends before the next begins, so that both lists are in the same order.
    change = padded[:, 1:] - padded[:, :-1]
    rows, starts = np.nonzero(change == 1)
    return rows, starts, np.nonzero(change == -1)[1]


def _touching(
    rows: np.ndarray, starts: np.ndarray, stops: np.ndarray, shape: tuple[int, ...], diagonal: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of runs in neighbouring rows that touch each other."""
    reach = int(diagonal)
    # All rows in one line, with a gap between: runs of the row above are then a stretch of numbers.
    pitch = shape[1] + 2
    above = (rows - 1) * pitch
    first = np.searchsorted(rows * pitch + stops, above + starts - reach, "right")
    last = np.searchsorted(rows * pitch + starts, above + stops + reach, "left")
    count = np.maximum(last - first, 0)
    lower = np.repeat(np.arange(len(rows)), count)
    within = np.arange(len(lower)) - np.repeat(count.cumsum() - count, count)
    return lower, np.repeat(first, count) + within


def _roots(num_runs: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return for each run the lowest run that it is connected with."""
    root = np.arange(num_runs)
    while True:
        one, other = root[first], root[second]
        apart = one != other
        if not apart.any():
            return root
        low, high = np.minimum(one[apart], other[apart]), np.maximum(one[apart], other[apart])
        np.minimum.at(root, high, low)
        while not np.array_equal(root, root[root]):  # each then names its root, not a run between
            root = root[root]


def _region(mask: np.ndarray, margin: int) -> tuple[slice, slice] | None:
    """Return the filled pixels and ``margin`` more on each side; None where nothing is filled.

    Background that goes on outside of this region fills the margin at its edge, so it is larger than
    any component to be filled, and all others lie inside whole.
    """
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        # There is nothing but background: one component, which is small only if the whole image is.
        return (slice(None), slice(None)) if mask.size < margin else None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + 1 + margin),
        slice(max(columns[0] - margin, 0), columns[-1] + 1 + margin),
    )
