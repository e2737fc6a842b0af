"""Run ``pocketeye train semantic``."""

from __future__ import annotations

from typing import Unpack

from pocketeye.models.task import SEMANTIC
from pocketeye.training.dense.run import DenseOptions, run_dense
from pocketeye.verbs.train.result import TrainResult


def train_segmenter(
    backbone: str = "casvit_xs",
    *,
    data: str,
    classes: str | None = None,
    recipe: str = "semantic-small",
    **options: Unpack[DenseOptions],
) -> TrainResult:
    """Train a segmenter (Semantic FPN): a class for every pixel.

    Args:
        backbone: any timm name with maps of strides 4 to 32, an architecture.json, or the run of a
            classifier, whose weights it then begins with.
        data: ADE20K, Cityscapes, CamVid, or folders of images and masks.
        classes: what the values of the masks mean: a yaml, or camvid11, cityscapes.
        recipe: semantic-small, semantic-scratch, semantic-fpn-40k or -80k, or a YAML file of the
            same keys.

    Raises:
        InvalidValue, MissingFile, UserError: as :func:`pocketeye.train_detector`.
    """
    run = run_dense(SEMANTIC, backbone, data=data, recipe=recipe, classes=classes, options=options)
    return TrainResult.of(run)
