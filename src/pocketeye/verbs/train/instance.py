"""Run ``pocketeye train instance``."""

from __future__ import annotations

from typing import Unpack

from pocketeye.models.task import INSTANCE
from pocketeye.training.dense.run import DenseOptions, run_dense
from pocketeye.verbs.train.result import TrainResult


def train_instance_segmenter(
    backbone: str = "casvit_xs",
    *,
    data: str,
    recipe: str = "instance-small",
    **options: Unpack[DenseOptions],
) -> TrainResult:
    """Train an instance segmenter (Mask R-CNN): boxes and outlines with classes.

    Args:
        backbone: any timm name with maps of strides 4 to 32, an architecture.json, or the run of a
            classifier, whose weights it then begins with.
        data: images with outlined objects in the layout of COCO or YOLO.
        recipe: instance-small or mask-rcnn-1x, or a YAML file of the same keys.

    Raises:
        InvalidValue, MissingFile, UserError: as :func:`pocketeye.train_detector`.
    """
    run = run_dense(INSTANCE, backbone, data=data, recipe=recipe, options=options)
    return TrainResult.of(run)
