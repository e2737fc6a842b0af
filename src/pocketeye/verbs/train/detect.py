"""``pocketeye train detect``."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

from pocketeye.models.task import DETECT
from pocketeye.training.dense.run import run_dense
from pocketeye.training.engine.run import RunOptions
from pocketeye.verbs.train.result import TrainResult


def train_detector(
    backbone: str = "casvit_xs",
    *,
    data: str,
    recipe: str = "detect-small",
    input_size: int | None = None,
    pretrained: bool = False,
    checkpoint: Path | None = None,
    start_from: Path | None = None,
    **options: Unpack[RunOptions],
) -> TrainResult:
    """Train a detector (RetinaNet): boxes with classes.

    Args:
        backbone: any timm name with maps of strides 4 to 32, an architecture.json, or the run of a
            classifier, whose weights it then begins with.
        data: images with boxes in the layout of COCO, VOC or YOLO.
        recipe: detect-small or retinanet-1x, or a YAML file of the same keys.
        input_size: shorter side of the images in pixels, in training and use.
        pretrained: begin with the published weights of the backbone.
        checkpoint: begin with all weights of this run or file, of the same network and classes.
        start_from: begin with the backbone of this run or file.

    Raises:
        InvalidValue: unknown backbone, recipe or key; data or weights that do not fit; a run that is
            already there; a loss that is not finite; a full disk.
        MissingFile: no data, recipe or network at a path.
        UserError: interrupted; says how to go on.
    """
    return TrainResult.of(
        run_dense(
            DETECT, backbone, data=data, recipe=recipe, input_size=input_size, pretrained=pretrained,
            checkpoint=checkpoint, start_from=start_from, options=options,
        )
    )  # fmt: skip
