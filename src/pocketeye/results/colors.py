"""Give one colour per object id, the same in every image, video and page."""

from __future__ import annotations

import colorsys

import numpy as np

Color = tuple[int, int, int]

# Okabe and Ito (2008), told apart by colour-blind eyes; without black, strongest contrasts first.
_FIRST: tuple[Color, ...] = (
    (86, 180, 233), (230, 159, 0), (0, 158, 115), (204, 121, 167),
    (240, 228, 66), (213, 94, 0), (0, 114, 178),
)  # fmt: skip
_GOLDEN = 0.618034  # the golden ratio's fraction: its multiples spread most evenly over a circle


def color_of(object_id: int) -> Color:
    """Return the RGB colour of an object; ids from 1 up begin with the palette of Okabe and Ito."""
    index = object_id - 1
    if 0 <= index < len(_FIRST):
        return _FIRST[index]
    # Steps of the golden ratio never come back to the same hue; lightness alternates. Where they
    # begin was chosen to keep the first twenty colours apart (at least 23 in CIELAB).
    hue = (0.96 + index * _GOLDEN) % 1.0
    lightness = (0.6, 0.75, 0.5)[index % 3]
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink_on(color: Color) -> Color:
    """Return black or white, whichever reads better on ``color``."""
    # Luma of BT.601. At 120 green, vermilion and blue of the palette get white, the lighter ones black.
    red, green, blue = color
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 120 else (255, 255, 255)


def davis_palette() -> list[int]:
    """Return 256 x RGB: the palette of DAVIS and Pascal VOC, whose colours spell the bits of the id."""
    ids = np.arange(256)
    # Bits 0, 3 and 6 of an id are the upper bits of red, 1, 4 and 7 of green, 2 and 5 of blue.
    palette = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(
                np.uint8
            )
    return palette.ravel().tolist()
