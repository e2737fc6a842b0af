"""RoIAlign and the pasting of masks, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketeye.artifacts.semantic_numpy import resize

# A box of twice this side is the smallest that is cropped from the second level.
FINEST_SIDE = 56


def pyramid_crops(
    maps: Sequence[np.ndarray], strides: Sequence[int], boxes: np.ndarray, size: int
) -> np.ndarray:
    """Return crops ``(N, C, size, size)`` of boxes, each from the level for its size.

    Args:
        maps: ``(C, h, w)``, finest first.
        strides: theirs (more are not read).
        boxes: ``(N, 4)`` in pixels of the network's input.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = np.sqrt(np.maximum(sides.prod(axis=1), 0))
    # FPN's rule for levels (arXiv 1612.03144, equation 1).
    levels = np.floor(np.log2(scale / FINEST_SIDE + 1e-6)).clip(0, len(maps) - 1).astype(int)
    crops = np.zeros((len(boxes), maps[0].shape[0], size, size), np.float32)
    for level, (feature, stride) in enumerate(zip(maps, strides, strict=False)):
        (chosen,) = np.nonzero(levels == level)
        crops[chosen] = roi_align(feature, boxes[chosen], size, 1 / stride)
    return crops


def roi_align(feature: np.ndarray, boxes: np.ndarray, size: int, scale: float) -> np.ndarray:
    """Crop boxes ``(N, 4)`` to ``(N, C, size, size)``: aligned, sampled as densely as the map."""
    # Half a pixel: aligned, as in torchvision's roi_align with aligned=True.
    x1, y1, x2, y2 = boxes.astype(np.float64).T * scale - 0.5
    rows, tops, bottoms = _weights(y1, y2, size, feature.shape[1])
    columns, lefts, rights = _weights(x1, x2, size, feature.shape[2])
    crops = np.zeros((len(boxes), len(feature), size, size), np.float32)
    # Samples form a grid, so that each axis is averaged by itself; only what is read is multiplied.
    for k in range(len(boxes)):
        y, x = slice(tops[k], bottoms[k]), slice(lefts[k], rights[k])
        crops[k] = rows[k, :, y] @ feature[:, y, x] @ columns[k, :, x].T
    return crops


def _weights(
    start: np.ndarray, end: np.ndarray, size: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what each pixel of an axis weighs in each bin of each box.

    Returns:
        ``(N, size, length)``, and the first pixel that is read and the one after the last, ``(N,)``.
    """
    step = (end - start) / size
    samples = np.maximum(np.ceil(step), 0).astype(np.int64)
    number = np.arange(max(int(samples.max(initial=0)), 1))
    # (N, size, most samples): where bins are sampled, those beyond a box's own number left out
    share = (number + 0.5) / np.maximum(samples, 1)[:, None]
    places = (
        start[:, None, None] + (np.arange(size)[:, None] + share[:, None]) * step[:, None, None]
    )
    inside = (places >= -1) & (places <= length) & (number < samples[:, None])[:, None]
    box, bins, _ = np.nonzero(inside)
    found = places[inside].clip(0, length - 1)
    low = found.astype(np.int64)
    high, part = np.minimum(low + 1, length - 1), found - low
    cells, share_of_one = (box * size + bins) * length, 1 / samples[box]
    total = len(start) * size * length
    weights = np.bincount(cells + low, (1 - part) * share_of_one, total)
    weights += np.bincount(cells + high, part * share_of_one, total)
    first, last = np.full(len(start), length), np.zeros(len(start), np.int64)
    np.minimum.at(first, box, low)
    np.maximum.at(last, box, high + 1)
    return (
        weights.reshape(len(start), size, length).astype(np.float32), np.minimum(first, last), last
    )  # fmt: skip


def paste(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Paste masks ``(N, m, m)`` into their boxes on images of ``size``, ``(N, *size)``.

    Boxes are rounded to pixels as torchvision does it, with a border of one cell of nothing around.
    """
    found = np.zeros((len(masks), *size), np.float32)
    # A border of nothing, or the mask would be cut off hard at its box.
    grown = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    growth = (masks.shape[-1] + 2) / masks.shape[-1] if len(masks) else 1.0
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * growth
    corners = np.concatenate([middle - half, middle + half], axis=1).astype(np.int64)
    for canvas, mask, (x1, y1, x2, y2) in zip(found, grown, corners, strict=True):
        height, width = max(int(y2 - y1) + 1, 1), max(int(x2 - x1) + 1, 1)
        large = resize(mask[None], (height, width))[0]
        top, left = max(int(y1), 0), max(int(x1), 0)
        bottom, right = min(int(y2) + 1, size[0]), min(int(x2) + 1, size[1])
        if bottom > top and right > left:
            canvas[top:bottom, left:right] = large[top - y1 : bottom - y1, left - x1 : right - x1]
    return found
