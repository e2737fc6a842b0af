"""RoIAlign and the pasting of masks, in numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pocketeye.runtimes.semantic_numpy import resize

# A box of twice this side is the smallest that is cropped from the second level.
FINEST_SIDE = 56


def pyramid_crops(
    maps: Sequence[np.ndarray], strides: Sequence[int], boxes: np.ndarray, size: int
) -> np.ndarray:
    """Crops ``(N, C, size, size)`` of boxes, each from the level for its size.

    Args:
        maps: ``(C, h, w)``, finest first.
        strides: theirs (more are not read).
        boxes: ``(N, 4)`` in pixels of the network's input.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    scale = np.sqrt(np.maximum(sides.prod(axis=1), 0))
    levels = np.floor(np.log2(scale / FINEST_SIDE + 1e-6)).clip(0, len(maps) - 1).astype(int)
    crops = np.zeros((len(boxes), maps[0].shape[0], size, size), np.float32)
    for number, level in enumerate(levels):
        crops[number] = roi_align(maps[level], boxes[number], size, 1 / strides[level])
    return crops


def roi_align(feature: np.ndarray, box: np.ndarray, size: int, scale: float) -> np.ndarray:
    """The crop ``(C, size, size)`` of one box: aligned, sampled as densely as the map."""
    x1, y1, x2, y2 = (float(v) * scale - 0.5 for v in box)
    rows = _weights(y1, y2, size, feature.shape[1])
    columns = _weights(x1, x2, size, feature.shape[2])
    # Samples form a grid, so that each axis is averaged by itself; only what is read is multiplied.
    inside = tuple(_support(weights) for weights in (rows, columns))
    part = feature[:, inside[0], inside[1]]
    crop: np.ndarray = rows[:, inside[0]] @ part @ columns[:, inside[1]].T
    return crop


def _weights(start: float, end: float, size: int, length: int) -> np.ndarray:
    """``(size, length)``: what each pixel of an axis weighs in each bin."""
    weights = np.zeros((size, length), np.float32)
    samples = int(np.ceil((end - start) / size))
    if samples <= 0:
        return weights
    step = (end - start) / size
    places = start + (np.arange(size)[:, None] + (np.arange(samples) + 0.5) / samples) * step
    bins, places = np.repeat(np.arange(size), samples), places.ravel()
    inside = (places >= -1) & (places <= length)
    bins, places = bins[inside], places[inside].clip(0, length - 1)
    low = places.astype(np.int64)
    high, part = np.minimum(low + 1, length - 1), places - low
    np.add.at(weights, (bins, low), (1 - part) / samples)
    np.add.at(weights, (bins, high), part / samples)
    return weights


def _support(weights: np.ndarray) -> slice:
    (used,) = np.nonzero(weights.any(axis=0))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def paste(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Masks ``(N, m, m)`` in their boxes on pictures of ``size``, ``(N, *size)``.

    Boxes are rounded to pixels as torchvision does it, with a border of one cell of nothing around.
    """
    found = np.zeros((len(masks), *size), np.float32)
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
