"""``pocketeye train segment-anything``."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from pocketeye.models.task import SEGMENT_ANYTHING
from pocketeye.training.engine.run import RunOptions
from pocketeye.training.tam.run import run_tracker
from pocketeye.verbs.train.result import TrainResult


def train_segment_anything(
    model: str = "pocketeye_tam_nano",
    *,
    data: str,
    recipe: str = "segment-anything-small",
    input_size: int | None = None,
    trunk: str | None = None,
    checkpoint: Path | None = None,
    start_from: Path | None = None,
    teacher: str | None = None,
    teacher_checkpoint: Path | None = None,
    **options: Unpack[RunOptions],
) -> TrainResult:
    """Train a tracker's first stage: a mask for what is clicked in an image.

    Args:
        model: a tracker's name from `pocketeye list`.
        data: folders of images with masks (COCO, SA-1B, label maps) or videos, with commas between.
        recipe: segment-anything-small or segment-anything-sa1b, or a YAML file of the same keys.
        input_size: side of the input in pixels; by default the recipe's or the network's.
        trunk: another image encoder, any timm backbone.
        checkpoint: begin with all weights of this run or file, of the same network.
        start_from: begin with what fits of a relative: the run of a classifier (its backbone goes into
            the image encoder), or a file of EfficientSAM, SAM 2 or EfficientTAM.
        teacher: a tracker whose image features are learnt too: a run folder or a name.
        teacher_checkpoint: weights of the teacher.

    Raises:
        InvalidValue: unknown tracker, recipe or key; data or weights that do not fit; a run that is
            already there; a loss that is not finite; a full disk.
        MissingFile: no data, recipe or weights at a path.
        UserError: interrupted; says how to go on.
    """
    return TrainResult.of(
        run_tracker(
            SEGMENT_ANYTHING, model, data=data, recipe=recipe, input_size=input_size, trunk=trunk,
            checkpoint=checkpoint, start_from=start_from, teacher=teacher,
            teacher_checkpoint=teacher_checkpoint, options=options,
        )
    )  # fmt: skip
