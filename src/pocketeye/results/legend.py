"""What the colours of an image mean."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from pocketeye.results.colors import color_of

_INK, _PAPER, _STEP = "#1c1c1c", "#ffffff", 24


def legend(classes: Sequence[tuple[str, int]], width: int) -> Image.Image:
    """Names beside patches of the colours of their classes, in lines of ``width`` pixels.

    Where the longest name needs more than ``width``, the lines are as long as that.

    Args:
        classes: names and numbers from 0.
    """
    font = ImageFont.load_default(14)
    places, x, y = [], 0, 0
    widths = [_STEP + round(font.getlength(name)) + 16 for name, _ in classes]
    width = max([width, 1, *widths])
    for (name, label), wide in zip(classes, widths, strict=True):
        if x and x + wide > width:
            x, y = 0, y + _STEP
        places.append((x, y, name, label))
        x += wide
    drawn = Image.new("RGB", (width, y + _STEP), _PAPER)
    draw = ImageDraw.Draw(drawn)
    for x, y, name, label in places:
        draw.rectangle((x, y + 3, x + 15, y + 18), color_of(label + 1), "#000000")
        draw.text((x + _STEP - 3, y + 2), name, _INK, font)
    return drawn
