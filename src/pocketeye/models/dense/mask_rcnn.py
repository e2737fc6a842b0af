"""Mask R-CNN, arXiv 1703.06870: torchvision's parts with the numbers and rules of mmdetection 2.x.

Where torchvision differs, this follows mmdetection, so that its recipes and weights mean the same:

* anchors of exact sizes on fixed strides; a box takes its best anchors where they overlap by 0.3
  (:mod:`pocketeye.models.dense.anchors`);
* crops are taken with ``aligned=True``, sampled as densely as the map
  (:class:`pocketeye.models.dense.roi_heads.AlignedRoIAlign`);
* L1 for boxes in both stages (torchvision: smooth L1, beta 1/9);
* 1000 proposals an image in training, from 2000 a level.

What remains different: a negative ``dw, dh`` is not clipped at 16/1000 when decoding, and masks are
pasted by torchvision's rounding to pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

from pocketeye.models.dense.anchors import LowQualityMatcher, StridedAnchors
from pocketeye.models.dense.fpn import FPNBackbone
from pocketeye.models.dense.resize import AnyShapeTransform
from pocketeye.models.dense.roi_heads import AlignedRoIAlign, BoxPredictor, RoIHeads

ASPECT_RATIOS = (0.5, 1.0, 2.0)
ANCHOR_SCALE = 8
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class MaskRCNN(GeneralizedRCNN):
    """A list of images ``(3, H, W)`` in 0..1 to boxes, scores, labels and masks.

    Training: ``model(images, targets)`` gives ``loss_objectness``, ``loss_rpn_box_reg``,
    ``loss_classifier``, ``loss_box_reg`` and ``loss_mask``; a target has ``boxes (N, 4)`` as x1, y1,
    x2, y2 in pixels, ``labels (N,)`` int64 from 0 to ``num_classes - 1`` and ``masks (N, H, W)`` of 0
    and 1; N may be 0. In eval mode: a dictionary an image with ``boxes``, ``scores``, ``labels`` and
    ``masks (N, 1, H, W)``, the probability of a pixel to belong to it, best first.

    Args:
        backbone: pyramid of strides 4 to 64.
        num_classes: without background. Inside, background is class 0, as in torchvision.
        min_size: images are resized to this shorter side (one of several by chance in training),
        max_size: or so that their longer side is not above this.
        image_mean: subtracted from the image,
        image_std: and divided by, per channel.
        score_thresh: detections below are left out.
        nms_thresh: IoU of two boxes of one class above which the weaker one is dropped.
        detections_per_img: at most.
    """

    variant: str | None = None

    def __init__(
        self,
        backbone: FPNBackbone,
        num_classes: int,
        min_size: int | tuple[int, ...] = 800,
        max_size: int = 1333,
        image_mean: list[float] | None = None,
        image_std: list[float] | None = None,
        score_thresh: float = 0.05,
        nms_thresh: float = 0.5,
        detections_per_img: int = 100,
    ) -> None:
        transform = AnyShapeTransform(
            min_size, max_size, image_mean or list(_MEAN), image_std or list(_STD)
        )
        limits = (score_thresh, nms_thresh, detections_per_img)
        super().__init__(
            backbone, _proposals(backbone), _roi_heads(backbone, num_classes + 1, limits), transform
        )
        self.num_classes = num_classes

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        if targets is not None:
            targets = [{**target, "labels": target["labels"] + 1} for target in targets]
        found: Any = super().forward(images, targets)
        if self.training:
            return found  # type: ignore[no-any-return]
        return [{**row, "labels": row["labels"] - 1} for row in found]


class ProposalNetwork(RegionProposalNetwork):
    """As torchvision's, with L1 for boxes and mmdetection's matching."""

    def __init__(self, anchors: StridedAnchors, head: RPNHead) -> None:
        super().__init__(
            anchors,
            head,
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 2000, "testing": 1000},
            post_nms_top_n={"training": 1000, "testing": 1000},
            nms_thresh=0.7,
        )
        self.proposal_matcher = LowQualityMatcher(0.7, 0.3, least=0.3)

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        masks = [torch.cat(part) > 0 for part in self.fg_bg_sampler(labels)]
        positive, sampled = masks[0], masks[0] | masks[1]
        count = sampled.sum().clamp(min=1)
        wanted = torch.cat(regression_targets)[positive]
        class_loss = F.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled], torch.cat(labels)[sampled], reduction="sum"
        )
        box_loss = (pred_bbox_deltas[positive] - wanted).abs().sum()
        return class_loss / count, box_loss / count


class ProposalHead(RPNHead):
    """As torchvision's, its outputs in float32: boxes are not for half precision."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        logits, deltas = super().forward(x)
        return [t.float() for t in logits], [t.float() for t in deltas]


def _proposals(backbone: FPNBackbone) -> ProposalNetwork:
    sizes = [[ANCHOR_SCALE * stride] for stride in backbone.strides]
    anchors = StridedAnchors(backbone.strides, sizes, ASPECT_RATIOS)
    return ProposalNetwork(anchors, ProposalHead(backbone.out_channels, len(ASPECT_RATIOS)))


def _roi_heads(
    backbone: FPNBackbone, num_classes: int, limits: tuple[float, float, int]
) -> RoIHeads:
    width, names, strides = backbone.out_channels, backbone.names[:4], backbone.strides[:4]
    return RoIHeads(
        AlignedRoIAlign(names, strides, 7),
        TwoMLPHead(width * 7 * 7, 1024),
        BoxPredictor(1024, num_classes),
        0.5,
        0.5,
        512,
        0.25,
        None,
        *limits,
        mask_roi_pool=AlignedRoIAlign(names, strides, 14),
        mask_head=MaskRCNNHeads(width, (256, 256, 256, 256), 1),
        mask_predictor=MaskRCNNPredictor(256, 256, num_classes),
    )
