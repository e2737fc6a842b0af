"""Say what a layout cannot hold of what was found in an image."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pocketeye.data.labelled.objects import LabelledFrame
from pocketeye.results import Masks

_NO_SCORES = ("cvat", "voc", "yolo-detect", "yolo-segment")
_POLYGONS = ("labelme", "label-studio", "yolo-segment")
MOST_IN_LABEL_IMAGE = 255
"""Numbers of an 8-bit label image, without 0 for the background."""


def losses(form: str, frame: LabelledFrame, *, has_label_image: bool) -> Counter[str]:
    """Count what is lost, by what the layout holds instead.

    Args:
        form: the layout, by the name of ``--form``.
        frame: what was found.
        has_label_image: whether VOC's image of masks is written too.
    """
    lost: Counter[str] = Counter()
    masks = sum(each.mask is not None for each in frame.objects)
    scores = sum(each.score is not None for each in frame.objects)
    if scores and form in _NO_SCORES:
        lost["no scores: left out"] = scores
    if masks and (form == "yolo-detect" or (form == "voc" and not has_label_image)):
        lost["boxes: masks are left out"] = masks
    if masks and form in _POLYGONS:
        lost["polygons: masks are outlined"] = masks
    if masks and form == "voc" and has_label_image and (hidden := _hidden_pixels(frame)):
        lost["one object a pixel: pixels of masks below others are left out"] = hidden
    unlabelled = sum(each.bounds() is None for each in frame.objects)
    if unlabelled and form != "labelme":
        lost["no points: left out"] = unlabelled
    return lost


def _hidden_pixels(frame: LabelledFrame) -> int:
    """Count the pixels that more than one mask fills, once for each mask beyond the first."""
    masks = [each.mask for each in frame.objects if each.mask is not None]
    union = Masks(size=frame.with_size(), items=tuple(masks)).union()
    return sum(mask.area for mask in masks) - int(np.count_nonzero(union))
