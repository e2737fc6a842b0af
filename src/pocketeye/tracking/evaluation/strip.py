"""Draw where following went wrong: the worst frames side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from pocketeye.results import Masks
from pocketeye.results.draw import dilate, draw_masks, line_width
from pocketeye.results.sheet import SheetRow, draw_sheet
from pocketeye.tracking.evaluation.follow import truth_of
from pocketeye.tracking.evaluation.result import VosResult, WorstFrame

_COLUMNS, _WIDTH = 4, 400  # panels in a row; pixels of a panel
_PAPER, _TRUTH = (255, 255, 255), (255, 255, 255)


def draw_strip(results: Sequence[VosResult]) -> bytes:
    """Draw a PNG: for each model a row or two of its worst frames.

    The mask that was found is filled in the colour of the object; the true outline is white.
    """
    blocks = [_block(result) for result in results]
    width = max(block.width for block in blocks)
    sheet = Image.new("RGB", (width, sum(block.height for block in blocks)), _PAPER)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    encoded = io.BytesIO()
    # Into memory, so that a failure leaves no half of an image in the folder.
    sheet.save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


def _block(result: VosResult) -> Image.Image:
    panels = [_panel(worst) for worst in result.worst(2 * _COLUMNS)]
    title = f"{result.model}: worst frames (filled: found, white line: true); "
    title += f"J&F {100 * result.mean.jf:.1f}"
    return draw_sheet(panels, title=title, heads=("",), columns=_COLUMNS)


def _panel(worst: WorstFrame) -> SheetRow:
    clip = worst.clip
    image = Image.fromarray(clip.frame(worst.frame))
    masks = Masks(size=clip.size, items=(worst.mask,))
    # Drawn at full size and reduced afterwards: the contours of all clips are alike.
    draw_masks(image, masks, [worst.object_id], [""])
    truth = truth_of(clip, worst.frame, worst.object_id)
    width = line_width(clip.size) + 1
    # White with a black edge: seen on light and on dark images, and over any object's colour.
    inside, halo = dilate(~truth, width) & truth, dilate(truth, 1) & ~truth
    image.paste((0, 0, 0), mask=_stencil(halo))
    image.paste(_TRUTH, mask=_stencil(inside))
    height = round(clip.size[1] * _WIDTH / clip.size[0])
    text = f"{clip.name}, object {worst.object_id}, frame {worst.frame}: "
    text += f"J {100 * worst.j:.0f}, F {100 * worst.f:.0f}"
    text += "" if worst.mask.area else " (nothing found)"
    return SheetRow(text=text, images=(image.resize((_WIDTH, height)),))


def _stencil(mask: np.ndarray) -> Image.Image:
    return Image.fromarray(mask * np.uint8(255))
