"""Draw clips on one sheet, a row each, with their objects drawn as everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pocketeye.data.clips.clips import Clip
from pocketeye.results.draw import draw_masks
from pocketeye.results.masks import Masks

_GAP = 4


def clip_sheet(clips: Sequence[Clip], *, most_frames: int = 8, bare: bool = False) -> Image.Image:
    """Draw clips of one size below each other.

    Args:
        clips: at least one.
        most_frames: of a longer clip so many are shown, evenly spread.
        bare: leave the masks out, to look at the images themselves.
    """
    height, width = clips[0].frames.shape[2:]
    columns = min(most_frames, max(len(clip.frames) for clip in clips))
    sheet = Image.new(
        "RGB",
        (columns * (width + _GAP) - _GAP, len(clips) * (height + _GAP) - _GAP),
        "white",
    )
    for row, clip in enumerate(clips):
        shown = np.linspace(0, len(clip.frames) - 1, min(columns, len(clip.frames))).round()
        for column, time in enumerate(shown.astype(int).tolist()):
            frame = _frame(clip, time, bare)
            sheet.paste(frame, (column * (width + _GAP), row * (height + _GAP)))
    return sheet


def _frame(clip: Clip, time: int, bare: bool) -> Image.Image:
    image = Image.fromarray(clip.frames[time].permute(1, 2, 0).numpy())
    if not bare:
        # What is not annotated is unknown: drawn as background it would look like a mistake.
        masks = clip.masks[:, time] & clip.annotated[:, time, None, None]
        ids = range(1, len(masks) + 1)
        draw_masks(image, Masks.from_dense(masks.numpy()), list(ids), [""] * len(masks))
    return image
