"""Train the task ``track``: objects of clips, through the memory."""

from __future__ import annotations

import torch

from pocketeye.training.tam.clip_forward import Kind, Plan
from pocketeye.training.tam.task import TamTraining


class TrackTask(TamTraining):
    """Train stage 2 of SAM 2 and EfficientTAM: objects of clips, through the memory.

    Some of the clips are images (of one frame), half prompted by a box and half by a click.

    The first frame is prompted by mask, click or box. After a click or a box it gets corrective
    clicks, and so do up to ``corrected_frames - 1`` later frames. ``val/iou`` is from the first
    frame's mask, over the frames after it.
    """

    def training_plan(self, num_frames: int) -> Plan:
        config = self.config
        draws = torch.rand(3).tolist()
        kind: Kind = "click"
        # An image of one frame: a mask would leave nothing to learn.
        mask_prob = config.mask_prob if num_frames > 1 else 0.0
        box_prob = config.box_prob if num_frames > 1 else 0.5
        if draws[0] < mask_prob:
            kind = "mask"
        elif draws[0] < mask_prob + box_prob:
            kind = "box"
        corrected: tuple[int, ...] = ()
        if kind != "mask" and draws[1] < config.correction_prob:
            # One to all of them, equally often; the min is for a draw that rounds up to 1.
            count = min(1 + int(draws[2] * config.corrected_frames), config.corrected_frames)
            later = (1 + torch.randperm(num_frames - 1))[: max(count - 1, 0)]
            corrected = (0, *sorted(later.tolist())) if count else ()
        return Plan(
            kind=kind,
            clicks=config.correction_clicks if corrected else 0,
            corrected=corrected,
            centre_prob=config.centre_prob,
            binarize=config.binarize_prompted,
            checkpointing=config.checkpointing,
        )

    def validation_plan(self, num_frames: int) -> Plan:
        # centre_prob 1: the same click in every validation, as far as an object has one middle.
        return Plan(kind="mask" if num_frames > 1 else "click", centre_prob=1.0)
