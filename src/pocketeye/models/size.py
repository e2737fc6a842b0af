"""Handle sides of images and maps: one number for a square, else (height, width), in pixels.

As text a square is ``224`` and anything else width x height, ``480x360``, as images are spoken of.
"""

from __future__ import annotations

import re
from typing import Any

from pocketeye.errors import InvalidValue

Size = int | tuple[int, int]
MOST_PIXELS = 65536
"""A longer side is no size, but would be taken for an order to fill the memory."""
# Width before height in texts, height before width in values: the habit of each.
_TEXT = re.compile(r"(\d{1,9})(?:x(\d{1,9}))?", re.ASCII)


def sides(size: Size) -> tuple[int, int]:
    """Return (height, width)."""
    return (size, size) if isinstance(size, int) else size


def make_size(height: int, width: int) -> Size:
    """Make one number where both are equal, so that equal sizes are equal values."""
    return height if height == width else (height, width)


def normal(size: Size) -> Size:
    """Return a size as :func:`make_size` gives it."""
    return make_size(*sides(size))


def reduced(size: Size, stride: int) -> Size:
    """Return what a stride leaves of a size, rounded up: a padded convolution's rule."""
    height, width = sides(size)
    return make_size(-(-height // stride), -(-width // stride))


def size_text(size: Size) -> str:
    """Write a size as ``224``, or ``480x360`` (width x height)."""
    height, width = sides(size)
    return str(height) if height == width else f"{width}x{height}"


def size_value(size: Size) -> int | str:
    """Return a size as files hold it: a number where it is a square, else the text."""
    return size if isinstance(size, int) else size_text(size)


def parse_size(value: Any) -> Size:
    """Undo :func:`size_value` and :func:`size_text`; (height, width) is taken too.

    Raises:
        InvalidValue: neither a whole number above 0 nor WIDTHxHEIGHT, or above ``MOST_PIXELS``.
    """
    if isinstance(value, tuple) and len(value) == 2:
        value = size_text((value[0], value[1]))
    # True is 1 to Python, and "True" no size.
    match = None if isinstance(value, bool) else _TEXT.fullmatch(str(value).strip().lower())
    numbers = [int(number) for number in match.groups() if number] if match else []
    if not numbers or not 1 <= min(numbers) <= max(numbers) <= MOST_PIXELS:
        limit = f" (at most {MOST_PIXELS})" if numbers and max(numbers) > MOST_PIXELS else ""
        raise InvalidValue(
            f"a size is a number of pixels like 224, or width and height like 480x360{limit}; "
            f"got {value!r:.60}"
        )
    return make_size(numbers[-1], numbers[0])  # width comes first in the text, and alone it is both
