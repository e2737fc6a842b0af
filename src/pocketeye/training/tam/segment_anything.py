"""Train the task ``segment-anything``: objects of images, from a click or a box and corrections."""

from __future__ import annotations

import torch

from pocketeye.training.tam.clip_forward import Plan
from pocketeye.training.tam.task import TamTraining

_VAL_CLICKS = 2  # two corrections tell whether clicks into the error help


class SegmentAnythingTask(TamTraining):
    """Train stage 1 of SAM 2 and EfficientTAM: objects of images.

    Its clips have one frame. ``val/iou`` is from a single click in the middle, ``val/iou_corrected``
    from two more.
    """

    def training_plan(self, num_frames: int) -> Plan:
        config = self.config
        # Shares of the prompts that are left: a mask of the image itself would leave nothing to learn.
        click_prob = 1 - config.mask_prob - config.box_prob
        either = click_prob + config.box_prob
        box_prob = config.box_prob / either if either else 0.5
        draws = torch.rand(2).tolist()
        corrected = draws[1] < config.correction_prob
        return Plan(
            kind="box" if draws[0] < box_prob else "click",
            clicks=config.correction_clicks if corrected else 0,
            corrected=(0,),
            centre_prob=config.centre_prob,
            binarize=config.binarize_prompted,
            checkpointing=config.checkpointing,
        )

    def validation_plan(self, num_frames: int) -> Plan:
        return Plan(kind="click", clicks=_VAL_CLICKS, corrected=(0,), centre_prob=1.0)
