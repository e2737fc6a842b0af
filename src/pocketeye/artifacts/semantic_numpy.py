"""Around an exported dense network, in numpy alone: the input prepared, logits to a label map.

The companion of :class:`pocketeye.models.dense.raw_heads.RawSemantic` and of
:class:`pocketeye.models.dense.raw_heads.RawRetinaNet`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def prepare(
    image: np.ndarray, canvas: tuple[int, int], mean: Sequence[float], std: Sequence[float]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Prepare an image for a graph of static shape: fit, normalise, pad right and below.

    Args:
        image: ``(H, W, 3)`` uint8.
        canvas: height and width of the graph's input.
        mean: per channel, for values in 0..1,
        std: too.

    Returns:
        ``(1, 3, *canvas)`` float32, and the height and width that the image takes of it.
    """
    height, width = image.shape[:2]
    # The whole image fits, and its aspect ratio stays.
    scale = min(canvas[0] / height, canvas[1] / width)
    size = (max(1, int(height * scale)), max(1, int(width * scale)))
    values = (image / np.float32(255) - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    padded = np.zeros((1, 3, *canvas), np.float32)
    padded[0, :, : size[0], : size[1]] = resize(values.transpose(2, 0, 1), size)
    return padded, size


def label_map(
    logits: np.ndarray,
    input_size: tuple[int, int],
    image_size: tuple[int, int] | None = None,
    original_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Return the best class of every pixel, ``(H, W)`` int64.

    Args:
        logits: of one image, ``(classes, h, w)``.
        input_size: height and width of the graph's input; logits are resized to it.
        image_size: of the image in it, as :func:`prepare` tells; the padding is cut off.
        original_size: of the image before; logits are resized once more.
    """
    logits = resize(logits, input_size)
    if image_size is not None:
        logits = logits[:, : image_size[0], : image_size[1]]
    if original_size is not None:
        logits = resize(logits, original_size)
    return logits.argmax(axis=0)


def resize(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(C, h, w)`` to ``(C, *size)``: bilinear, corners of pixels aligned, no smoothing."""
    for axis, length in ((1, size[0]), (2, size[1])):
        old = values.shape[axis]
        if old == length:
            continue
        # Centres of pixels are aligned, as in torch with align_corners=False.
        place = np.maximum((np.arange(length) + 0.5) * (old / length) - 0.5, 0)
        low = np.minimum(place.astype(np.int64), old - 1)
        high = np.minimum(low + 1, old - 1)
        shape = [1, 1, 1]
        shape[axis] = length
        part = (place - low).astype(values.dtype).reshape(shape)
        values = values.take(low, axis) * (1 - part) + values.take(high, axis) * part
    return values
