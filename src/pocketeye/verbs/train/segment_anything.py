"""Run ``pocketeye train segment-anything``."""

from __future__ import annotations

from typing import Unpack

from pocketeye.models.task import SEGMENT_ANYTHING
from pocketeye.training.tam.run import TamOptions, run_tracker
from pocketeye.verbs.train.result import TrainResult


def train_segment_anything(
    model: str = "pocketeye_tam_nano",
    *,
    data: str,
    recipe: str = "segment-anything-small",
    **options: Unpack[TamOptions],
) -> TrainResult:
    """Train a tracker's first stage: a mask for what is clicked in an image.

    Args:
        model: a tracker's name from `pocketeye list`.
        data: folders of images with masks (COCO, SA-1B, label maps) or videos, with commas between.
        recipe: segment-anything-small or segment-anything-sa1b, or a YAML file of the same keys.

    Raises:
        InvalidValue, MissingFile, UserError: as :func:`pocketeye.train_tracker`.
    """
    run = run_tracker(SEGMENT_ANYTHING, model, data=data, recipe=recipe, options=options)
    return TrainResult.of(run)
