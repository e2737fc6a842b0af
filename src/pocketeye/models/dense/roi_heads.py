"""Build the second stage of Mask R-CNN by the rules of mmdetection 2.x, in torchvision's classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import roi_heads as tv
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign, roi_align

Losses = dict[str, Tensor]


class AlignedRoIAlign(MultiScaleRoIAlign):
    """Take crops without the half-pixel error of the original RoIAlign, on fixed strides.

    A box goes to the level where its size is 56 to 112 pixels at stride 4, twice that at 8, and so
    on. Samples are as dense as the map's pixels (sampling ratio 0).

    Args:
        names: of the maps in the pyramid's output, finest first.
        strides: theirs.
        output_size: of the crops.
    """

    def __init__(self, names: Sequence[str], strides: Sequence[int], output_size: int) -> None:
        super().__init__(list(names), output_size, sampling_ratio=0)
        self.strides = tuple(strides)

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        maps = [x[name] for name in self.featmap_names]
        index = torch.cat([b.new_full((len(b), 1), n) for n, b in enumerate(boxes)])
        rois = torch.cat([index, torch.cat(boxes)], dim=1)
        # 56 is mmdetection's finest_scale. torchvision's 224 at level 4 is the same rule, on strides
        # guessed from the maps' sizes. 1e-6 keeps exact powers of two from falling below.
        size = ((rois[:, 3] - rois[:, 1]) * (rois[:, 4] - rois[:, 2])).clamp(min=0).sqrt()
        levels = (size / 56 + 1e-6).log2().floor().clamp(0, len(maps) - 1)
        crops = maps[0].new_zeros(len(rois), maps[0].shape[1], *self.output_size)
        for number, (feature, stride) in enumerate(zip(maps, self.strides, strict=True)):
            chosen = torch.where(levels == number)[0]
            crop = roi_align(feature, rois[chosen], self.output_size, 1 / stride, 0, aligned=True)
            # Back in the order of the boxes, whatever level each was taken from.
            crops[chosen] = crop.to(crops.dtype)
        return crops


class BoxPredictor(FastRCNNPredictor):
    """Predict as torchvision does, with outputs in float32: boxes are not for half precision."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores, deltas = super().forward(x)
        return scores.float(), deltas.float()


class RoIHeads(tv.RoIHeads):
    """Train and infer as torchvision does, with L1 for boxes and binary targets of aligned crops."""

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], Losses]:
        if not self.training:
            found: Any = super().forward(features, proposals, image_shapes)
            return found  # type: ignore[no-any-return]
        assert targets is not None
        # True boxes are among the proposals: early in training nothing else overlaps an object.
        rois, matched, labels, expected = self.select_training_samples(proposals, targets)
        crops = self.box_roi_pool(features, rois, image_shapes)
        logits, deltas = self.box_predictor(self.box_head(crops))
        losses = box_losses(logits, deltas, torch.cat(labels), torch.cat(list(expected)))
        # Masks are learnt from foreground alone, from the same samples as boxes.
        chosen = [label > 0 for label in labels]
        rois = [roi[c] for roi, c in zip(rois, chosen, strict=True)]
        crops = self.mask_roi_pool(features, rois, image_shapes)
        mask_logits = self.mask_predictor(self.mask_head(crops)).float()
        masks = [
            mask_targets(target["masks"], roi, match[c], mask_logits.shape[-1])
            for target, roi, match, c in zip(targets, rois, matched, chosen, strict=True)
        ]
        labels = [label[c] for label, c in zip(labels, chosen, strict=True)]
        return [], {
            **losses,
            "loss_mask": mask_loss(mask_logits, torch.cat(labels), torch.cat(masks)),
        }


def box_losses(logits: Tensor, deltas: Tensor, labels: Tensor, expected: Tensor) -> Losses:
    """Compute cross entropy over samples, and L1 of the right class's boxes over as many."""
    # Divided by all samples and not by those with a box, as in mmdetection: a batch with few objects
    # has a small box loss.
    chosen = torch.where(labels > 0)[0]
    own = deltas.reshape(len(deltas), -1, 4)[chosen, labels[chosen]]
    return {
        "loss_classifier": F.cross_entropy(logits, labels),
        "loss_box_reg": (own - expected[chosen]).abs().sum() / max(len(labels), 1),
    }


def mask_targets(masks: Tensor, boxes: Tensor, matched: Tensor, size: int) -> Tensor:
    """Crop from each box the mask that it matches, ``(N, size, size)`` of 0 and 1."""
    if not len(boxes):
        return boxes.new_zeros(0, size, size)
    rois = torch.cat([matched[:, None].to(boxes), boxes], dim=1)
    crops = roi_align(masks[:, None].to(boxes), rois, (size, size), 1.0, 0, aligned=True)
    # Binary, as mmdetection cuts its targets; torchvision keeps the shares.
    return (crops[:, 0] >= 0.5).to(boxes)


def mask_loss(logits: Tensor, labels: Tensor, expected: Tensor) -> Tensor:
    """Compute binary cross entropy of the right class's masks; 0 where there are none."""
    if not len(labels):
        # With a graph: processes wait for each other's gradients.
        return logits.sum() * 0
    own = logits[torch.arange(len(labels), device=labels.device), labels]
    return F.binary_cross_entropy_with_logits(own, expected)
