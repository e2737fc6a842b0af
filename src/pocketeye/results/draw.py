"""Draw objects over an image: translucent fill, contour, label. numpy and Pillow, no torch.

Only the crops of the objects are touched, so that drawing a video costs less than decoding it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocketeye.results.colors import Color, color_of, ink_on
from pocketeye.results.masks import CompactMask, Masks

FILL = 0.4  # opacity: the colour is told, and what lies below is still seen
_MOST_NAMED, _WIDEST = 30, 3
"""Among more objects than that, labels wider than so many of their objects would hide the others."""


def draw_masks(
    image: Image.Image,
    masks: Masks,
    ids: Sequence[int],
    texts: Sequence[str],
    fill: float = FILL,
    color_ids: Sequence[int] | None = None,
) -> None:
    """Draw masks into an RGB image in place; the lowest id on top.

    Args:
        ids: one per mask; they choose the colours.
        texts: one label per mask; an empty one is not drawn.
        fill: opacity of the colour, 0 to 1.
        color_ids: choose the colours in place of ``ids``.
    """
    width = line_width(masks.size)
    colors = [color_of(i) for i in color_ids or ids]
    # The lowest id last, so that it lies on top, as in a label image.
    order = sorted(range(len(masks)), key=lambda i: -ids[i])
    for i in order:
        _draw_mask(image, masks[i], colors[i], fill, width)
    shown = _labels_that_fit(texts, [mask.box[2] - mask.box[0] for mask in masks], image.size)
    for i in order:
        if shown[i] and masks[i].area:
            _draw_text(image, shown[i], _anchor(masks[i]), colors[i])


def draw_boxes(
    image: Image.Image,
    boxes: np.ndarray,
    ids: Sequence[int],
    texts: Sequence[str],
    color_ids: Sequence[int] | None = None,
) -> None:
    """Draw boxes ``(N, 4)`` x0, y0, x1, y1 into an RGB image in place, labels at their corners.

    Order and colours are those of :func:`draw_masks`.
    """
    # Nothing is filled: the line alone is seen, so it is a pixel wider.
    pen, line = ImageDraw.Draw(image), line_width(image.size) + 1
    colors = [color_of(i) for i in color_ids or ids]
    order = sorted(range(len(boxes)), key=lambda i: -ids[i])
    corners = [tuple(round(float(v)) for v in box) for box in boxes]
    for i in order:
        x0, y0, x1, y1 = corners[i]
        x1, y1 = max(x1 - 1, x0), max(y1 - 1, y0)  # Pillow draws the last pixel, too
        # A dark line around the coloured one: one of the two is seen on any ground.
        pen.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), outline=(0, 0, 0))
        pen.rectangle((x0, y0, x1, y1), outline=colors[i], width=line)
    shown = _labels_that_fit(texts, [x1 - x0 for x0, _, x1, _ in corners], image.size)
    for i in order:
        if shown[i]:
            _draw_text(image, shown[i], (corners[i][0], corners[i][1]), colors[i])


def line_width(size: tuple[int, int]) -> int:
    """Return the width of contours in pixels for an image of (width, height)."""
    return max(1, round(min(size) / 400))  # 1 below 600 pixels, 3 for full HD


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Grow a bool ``(h, w)`` by ``radius`` pixels to all eight sides."""
    # One axis after the other: a square grows by its sides alone, in 2 r steps instead of r^2.
    for axis in (0, 1):
        grown = mask.copy()
        for step in range(1, min(radius, mask.shape[axis] - 1) + 1):
            ahead, behind = _shifted(axis, step)
            grown[ahead] |= mask[behind]
            grown[behind] |= mask[ahead]
        mask = grown
    return mask


def _shifted(axis: int, step: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    rest = (slice(None),) * axis
    return (*rest, slice(step, None)), (*rest, slice(None, -step))


def _draw_mask(
    image: Image.Image, mask: CompactMask, color: Color, fill: float, width: int
) -> None:
    if not mask.area:
        return
    x0, y0, x1, y1 = mask.box
    # One pixel more on each side, if the image has it, for the dark line round the contour.
    left, top = min(x0, 1), min(y0, 1)
    right, bottom = min(mask.size[0] - x1, 1), min(mask.size[1] - y1, 1)
    filled = np.pad(mask.crop(), ((top, bottom), (left, right)))
    outside = ~filled
    halo = dilate(filled, 1) & outside
    line = dilate(outside, width) & filled
    opacity = np.where(filled, np.uint8(round(255 * fill)), np.uint8(0))
    opacity[line] = 255  # the coloured line is seen on dark images
    at = (x0 - left, y0 - top)
    image.paste(color, at, Image.fromarray(opacity))
    image.paste((0, 0, 0), at, Image.fromarray(halo * np.uint8(170)))  # on light ones


def _anchor(mask: CompactMask) -> tuple[int, int]:
    """Return where a label is read as the object's: its topmost pixel."""
    row = np.flatnonzero(mask.crop()[0])
    return mask.box[0] + int(row[len(row) // 2]), mask.box[1]


def _labels_that_fit(
    texts: Sequence[str], widths: Sequence[int], size: tuple[int, int]
) -> list[str]:
    """Return the labels, in a crowded image without those much wider than their objects."""
    if len(texts) <= _MOST_NAMED:
        return list(texts)
    font = ImageFont.load_default(_points(size))
    return [
        text if font.getlength(text) <= _WIDEST * width else ""
        for text, width in zip(texts, widths, strict=True)
    ]


def _points(size: tuple[int, int]) -> int:
    """Return the size of the letters in an image of (width, height)."""
    return max(11, round(min(size) / 36))  # smaller letters are hard to read


def _draw_text(image: Image.Image, text: str, at: tuple[int, int], color: Color) -> None:
    """Paste a chip of ``color`` with its lower left corner at ``at``, pushed inside the image."""
    width, height = image.size
    chip = _chip(text, color, _points(image.size))
    x = max(min(at[0], width - chip.width), 0)
    y = max(min(at[1] - chip.height, height - chip.height), 0)
    image.paste(chip, (x, y))


@lru_cache(maxsize=256)  # in a video the same labels come in every frame
def _chip(text: str, color: Color, points: int) -> Image.Image:
    font = ImageFont.load_default(points)
    left, top, right, bottom = font.getbbox(text)
    pad = max(2, points // 4)
    size = (round(right - left) + 2 * pad, round(bottom - top) + 2 * pad)
    chip = Image.new("RGB", size, color)
    ImageDraw.Draw(chip).text((pad - left, pad - top), text, fill=ink_on(color), font=font)
    return chip
