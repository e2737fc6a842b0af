"""Build RetinaNet (arXiv 1708.02002): torchvision's network, the numbers and rules of mmdetection 2.x.

Where torchvision differs, this follows mmdetection, so that its recipes and weights mean the same:

* anchors of exact sizes on fixed strides (:class:`pocketeye.models.dense.anchors.StridedAnchors`);
* P6 from C5, P7 from P6 without ReLU (:class:`pocketeye.models.dense.fpn.ExtraConvs`);
* a box takes its best anchors even where another overlaps them more
  (:class:`pocketeye.models.dense.anchors.LowQualityMatcher`);
* losses are summed over the batch and divided by its number of matched anchors (at least one an
  image), not averaged over images;
* 100 detections an image.

What remains different: a negative ``dw, dh`` is not clipped at 16/1000 when decoding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import retinanet as tv
from torchvision.ops import box_iou, sigmoid_focal_loss

from pocketeye.models.dense.anchors import LowQualityMatcher, StridedAnchors, octaves
from pocketeye.models.dense.fpn import FPNBackbone
from pocketeye.models.dense.resize import AnyShapeTransform

ASPECT_RATIOS = (0.5, 1.0, 2.0)
SIZES_PER_OCTAVE = 3  # the paper's: 9 anchors a cell


class RetinaNet(tv.RetinaNet):
    """Turn a list of images ``(3, H, W)`` in 0..1 into boxes, scores and labels.

    Training: ``model(images, targets)`` gives ``classification`` (focal) and ``bbox_regression`` (L1)
    losses; a target has ``boxes (N, 4)`` as x1, y1, x2, y2 in pixels and ``labels (N,)`` int64 from
    0 to ``num_classes - 1``; N may be 0. In eval mode: a dictionary an image with ``boxes``,
    ``scores`` and ``labels``, best first, in pixels of the image as it came in.

    Args:
        backbone: pyramid of strides 8 to 128.
        num_classes: without background, which RetinaNet has none of.
        min_size: images are resized to this shorter side (one of several by chance in training),
        max_size: or so that their longer side is not above this.
        kwargs: of torchvision's RetinaNet, for example ``score_thresh``, ``image_mean``.
    """

    variant: str | None = None
    transform: Any  # torchvision does not say of what type it is

    def __init__(
        self,
        backbone: FPNBackbone,
        num_classes: int,
        min_size: int | tuple[int, ...] = 800,
        max_size: int = 1333,
        **kwargs: Any,
    ) -> None:
        sizes = octaves(backbone.strides, per_octave=SIZES_PER_OCTAVE)
        num_anchors = len(ASPECT_RATIOS) * SIZES_PER_OCTAVE
        super().__init__(
            backbone,
            num_classes,
            min_size,
            max_size,
            anchor_generator=StridedAnchors(backbone.strides, sizes, ASPECT_RATIOS),
            head=RetinaNetHead(backbone.out_channels, num_anchors, num_classes),
            # The paper's 0.5 and 0.4; without a least overlap, so that every box has an anchor.
            proposal_matcher=LowQualityMatcher(0.5, 0.4, least=0.0),
            **{"detections_per_img": 100, **kwargs},
        )
        usual = self.transform
        self.transform = AnyShapeTransform(min_size, max_size, usual.image_mean, usual.image_std)
        self.num_classes = num_classes

    def compute_loss(
        self,
        targets: list[dict[str, Tensor]],
        head_outputs: dict[str, Tensor],
        anchors: list[Tensor],
    ) -> dict[str, Tensor]:
        matched = [self._match(t["boxes"], a) for t, a in zip(targets, anchors, strict=True)]
        # Over the batch: an image with one small object does not count as much as one with fifty.
        count = torch.stack([(m >= 0).sum().clamp(min=1) for m in matched]).sum()
        rows = list(zip(targets, matched, strict=True))
        classes = [
            _class_loss(logits, target["labels"], match)
            for logits, (target, match) in zip(head_outputs["cls_logits"], rows, strict=True)
        ]
        boxes = [
            self._box_loss(deltas, target["boxes"], anchor, match)
            for deltas, anchor, (target, match) in zip(
                head_outputs["bbox_regression"], anchors, rows, strict=True
            )
        ]
        return {
            "classification": torch.stack(classes).sum() / count,
            "bbox_regression": torch.stack(boxes).sum() / count,
        }

    def _match(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        """Return of each anchor the index of its box, -1 for background, -2 for neither."""
        # The matcher refuses an image without boxes, of which everything is background.
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        return self.proposal_matcher(box_iou(boxes, anchors))

    def _box_loss(self, deltas: Tensor, boxes: Tensor, anchors: Tensor, matched: Tensor) -> Tensor:
        chosen = matched >= 0
        expected = self.box_coder.encode_single(boxes[matched[chosen]], anchors[chosen])
        return (deltas[chosen] - expected).abs().sum()


class RetinaNetHead(tv.RetinaNetHead):
    """Predict as torchvision does, with outputs in float32: boxes are not for half precision."""

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        return {name: value.float() for name, value in super().forward(x).items()}


def _class_loss(logits: Tensor, labels: Tensor, matched: Tensor) -> Tensor:
    chosen = torch.where(matched >= 0)[0]
    expected = torch.zeros_like(logits)
    expected[chosen, labels[matched[chosen]]] = 1.0
    # Anchors between the thresholds count for neither side, as in the paper.
    counted = matched != LowQualityMatcher.BETWEEN_THRESHOLDS
    # 0.25 and 2.0 are the paper's alpha and gamma.
    return sigmoid_focal_loss(logits[counted], expected[counted], 0.25, 2.0, reduction="sum")
