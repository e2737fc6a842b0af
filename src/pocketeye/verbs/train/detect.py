"""Run ``pocketeye train detect``."""

from __future__ import annotations

from typing import Unpack

from pocketeye.models.task import DETECT
from pocketeye.training.dense.run import DenseOptions, run_dense
from pocketeye.verbs.train.result import TrainResult


def train_detector(
    backbone: str = "casvit_xs",
    *,
    data: str,
    recipe: str = "detect-small",
    **options: Unpack[DenseOptions],
) -> TrainResult:
    """Train a detector (RetinaNet): boxes with classes.

    Args:
        backbone: any timm name with maps of strides 4 to 32, an architecture.json, or the run of a
            classifier, whose weights it then begins with.
        data: images with boxes in the layout of COCO, VOC or YOLO.
        recipe: detect-small or retinanet-1x, or a YAML file of the same keys.

    Raises:
        InvalidValue: unknown backbone, recipe or key; data or weights that do not fit; a run that is
            already there; a loss that is not finite; a full disk.
        MissingFile: no data, recipe or network at a path.
        UserError: interrupted; says how to go on.
    """
    run = run_dense(DETECT, backbone, data=data, recipe=recipe, options=options)
    return TrainResult.of(run)
