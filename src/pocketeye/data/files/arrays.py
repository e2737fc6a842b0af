"""Turn images that people have in memory into 8-bit RGB."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pocketeye.data.files.decode import to_mode
from pocketeye.errors import InvalidType, InvalidValue


def rgb_of(image: Any, what: str = "the image") -> np.ndarray:
    """Return a PIL image or an array as uint8 ``(height, width, 3)``.

    Args:
        image: a PIL image of any mode (its EXIF orientation is applied); or an array of gray, RGB or
            RGBA (transparency lies on white): uint8, uint16, bool, or float from 0 to 1.
        what: what messages call it.

    Raises:
        InvalidType: something else.
        InvalidValue: an array of another shape, type or range, or without pixels.
    """
    if isinstance(image, Image.Image):
        if not all(image.size):
            raise InvalidValue(f"{what} has no pixels: its size is {image.width}x{image.height}")
        # Phones store images on their side and say so in EXIF.
        return np.asarray(to_mode(ImageOps.exif_transpose(image), 3))
    if not hasattr(image, "__array__"):
        raise InvalidType(
            f"{what} is a {type(image).__name__}: expected a uint8 array (height, width, 3) "
            "or a PIL image"
        )
    array = np.asarray(image)
    if not array.size:
        raise InvalidValue(f"{what} has no pixels: its shape is {array.shape}")
    # Grey images have no axis of channels.
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        # torch's order: say how to change it.
        first = array.ndim == 3 and array.shape[0] in (1, 3, 4)
        remedy = "; put its channels last, with array.transpose(1, 2, 0)" if first else ""
        raise InvalidValue(
            f"{what} is {array.dtype} of shape {array.shape}: expected (height, width, 3), or 1 or 4 "
            f"channels, or none{remedy}"
        )
    levels = np.ascontiguousarray(_eight_bits(array, what))
    if levels.shape[2] == 1:
        return np.repeat(levels, 3, axis=2)
    return levels if levels.shape[2] == 3 else np.asarray(to_mode(Image.fromarray(levels), 3))


def _eight_bits(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array * np.uint8(255)
    if array.dtype == np.uint16:
        # 65535 // 257 is 255.
        return (array // 257).astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if low >= 0 and high <= 1:  # false for NaN
            return np.rint(array * 255).astype(np.uint8)
        # Floats up to 255 could be meant or be a mistake: a guess would be wrong without a word.
        raise InvalidValue(
            f"{what} has values from {low:g} to {high:g}, and floats go from 0 to 1: divide them by "
            "255, or make them uint8"
        )
    raise InvalidValue(
        f"{what} is {array.dtype} of shape {array.shape}: expected uint8, uint16, bool, or floats "
        "from 0 to 1"
    )
