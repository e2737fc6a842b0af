"""Draw a frame with its coordinates at the edges, to look up where to point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pocketeye.results.colors import color_of
from pocketeye.tracking.video.frame_prompts import FramePrompt

_SMALLEST = 720  # pixels of the longer side on paper: smaller frames are enlarged to be read
_STEPS = (5, 10, 20, 25, 50, 100, 200, 250, 500, 1000)
_APART = 70  # pixels on paper between two labelled lines, at least
_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_LINE = ((255, 255, 255, 120), (0, 0, 0, 70))  # side by side, to be seen on any ground


def with_ruler(frame: np.ndarray, prompts: Sequence[FramePrompt] = ()) -> Image.Image:
    """Draw a grid of pixel coordinates over a frame, and what points at objects in it.

    Args:
        frame: uint8 RGB ``(height, width, 3)``.
        prompts: points (a ring on the object, a cross beside it) and boxes, in pixels of the frame.

    Returns:
        The frame, enlarged in whole steps where it is small, with numbers on all four sides.
    """
    height, width = frame.shape[:2]
    scale = max(1, round(_SMALLEST / max(width, height)))
    font = ImageFont.load_default(13)
    margin = 12 + round(font.getlength(str(max(width, height))))
    paper = Image.new("RGB", (width * scale + 2 * margin, height * scale + 2 * margin), _PAPER)
    picture = Image.fromarray(frame).resize((width * scale, height * scale), Image.Resampling.BOX)
    paper.paste(picture, (margin, margin))
    draw = ImageDraw.Draw(paper, "RGBA")
    step = next((s for s in _STEPS if s * scale >= _APART), _STEPS[-1])
    right, bottom = margin + width * scale, margin + height * scale
    for x in range(0, width, step):
        at = margin + x * scale
        for beside, ink in enumerate(_LINE if x else (_INK,)):
            draw.line((at + beside, margin, at + beside, bottom), fill=ink)
        for y in (margin - 7, bottom + 7):
            anchor = "ms" if y < margin else "mt"
            draw.text((at, y), str(x), fill=_INK, font=font, anchor=anchor)
            draw.line((at, y, at, y + 4 if y < margin else y - 4), fill=_INK)
    for y in range(0, height, step):
        at = margin + y * scale
        for beside, ink in enumerate(_LINE if y else (_INK,)):
            draw.line((margin, at + beside, right, at + beside), fill=ink)
        for x in (margin - 7, right + 7):
            anchor = "rm" if x < margin else "lm"
            draw.text((x, at), str(y), fill=_INK, font=font, anchor=anchor)
            draw.line((x + 2, at, x + 5, at) if x < margin else (x - 5, at, x - 2, at), fill=_INK)
    for prompt in prompts:
        _mark(draw, prompt, scale, margin)
    return paper


def _mark(draw: ImageDraw.ImageDraw, prompt: FramePrompt, scale: int, margin: int) -> None:
    color = color_of(prompt.object_id)

    def place(x: float, y: float) -> tuple[float, float]:
        return margin + (x + 0.5) * scale, margin + (y + 0.5) * scale  # the middle of the pixel

    if prompt.box is not None:
        x0, y0, x1, y1 = (margin + value * scale for value in prompt.box)
        draw.rectangle((x0, y0, x1, y1), outline=color, width=3)
    for point, label in zip(prompt.points, prompt.labels, strict=True):
        x, y = place(*point)
        for radius, ink in ((8, (0, 0, 0)), (7, color)):
            if label:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=3)
            else:
                draw.line((x - radius, y - radius, x + radius, y + radius), fill=ink, width=3)
                draw.line((x - radius, y + radius, x + radius, y - radius), fill=ink, width=3)
