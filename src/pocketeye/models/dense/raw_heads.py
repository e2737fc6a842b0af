"""Cut out of a detector or segmenter what is exported: maps in, maps out, of static shapes.

Choosing boxes is data-dependent, so that a whole detector is no graph for a phone (and torch's ONNX
exporter refuses it). These modules stop before that: convolutions, resizing and sums, tensors of four
dimensions. :mod:`pocketeye.artifacts.detection_numpy`, :mod:`pocketeye.artifacts.semantic_numpy` and
:mod:`pocketeye.artifacts.mask_rcnn_numpy` do the rest, without torch.

Mask R-CNN is three graphs, with NMS and RoIAlign between them: image to pyramid and proposals' maps
(:class:`RawProposals`), crops of 7x7 to classes and boxes (:class:`RawBoxHead`), crops of 14x14 to
masks (:class:`RawMaskHead`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pocketeye.models._fuse import fuse
from pocketeye.models.dense.mask_rcnn import MaskRCNN
from pocketeye.models.dense.retinanet import RetinaNet
from pocketeye.models.dense.semantic_fpn import SemanticFPN, resize


class RawRetinaNet(nn.Module):
    """Turn normalised images ``(N, 3, H, W)`` into the maps of every level, those of classes first.

    ``class_p3 (N, A * num_classes, h, w)`` … ``class_p7``: logits; ``box_p3 (N, A * 4, h, w)`` …
    ``box_p7``: dx, dy, dw, dh. Channels count anchors first. The network is fused, in eval mode.
    """

    model: Any

    def __init__(self, model: RetinaNet) -> None:
        super().__init__()
        # Fused here, once: runtimes differ in what they fold by themselves.
        self.model = fuse(model)
        names = self.model.backbone.names
        self.output_names = tuple(f"{kind}_{name}" for kind in ("class", "box") for name in names)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        # torchvision's head would flatten and join the levels: five axes, which not every runtime has.
        levels = list(self.model.backbone(x).values())
        classes, boxes = self.model.head.classification_head, self.model.head.regression_head
        return (
            *(classes.cls_logits(classes.conv(level)) for level in levels),
            *(boxes.bbox_reg(boxes.conv(level)) for level in levels),
        )

    def decoder(self) -> dict[str, Any]:
        """Return arguments of :class:`pocketeye.artifacts.detection_numpy.RetinaDecoder`, as JSON."""
        model = self.model
        return {
            "num_classes": model.num_classes,
            "strides": list(model.backbone.strides),
            "sizes": [list(sizes) for sizes in model.anchor_generator.sizes],
            # The same on all levels.
            "aspect_ratios": list(model.anchor_generator.aspect_ratios[0]),
            "score_thresh": model.score_thresh,
            "nms_thresh": model.nms_thresh,
            "topk_candidates": model.topk_candidates,
            "detections_per_img": model.detections_per_img,
        }


class RawSemantic(nn.Module):
    """Turn normalised images ``(N, 3, H, W)`` into logits, at stride 4 or of the image's size.

    At stride 4 the graph is faster and a sixteenth of the values leaves it;
    :func:`pocketeye.artifacts.semantic_numpy.label_map` resizes them.
    """

    output_names = ("logits",)
    model: Any

    def __init__(self, model: SemanticFPN, full_size: bool = False) -> None:
        super().__init__()
        self.model, self.full_size = fuse(model), full_size

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model.head(list(self.model.backbone(x).values()))
        return resize(logits, x.shape[-2:]) if self.full_size else logits


class RawProposals(nn.Module):
    """Turn normalised images into the pyramid that crops are taken from, and the proposals' maps.

    ``p2 (N, C, h, w)`` … ``p5``; ``object_p2 (N, A, h, w)`` … ``object_p6``: logits; ``box_p2 (N,
    A * 4, h, w)`` … ``box_p6``.
    """

    backbone: Any
    head: Any

    def __init__(self, model: MaskRCNN) -> None:
        super().__init__()
        fused: Any = fuse(model)
        self.backbone, self.head = fused.backbone, fused.rpn.head
        self._decoder = _mask_rcnn_decoder(fused)
        names = self.backbone.names
        self.output_names = (
            *names[:-1],  # p6 is for proposals alone: no crop is taken from it
            *(f"{kind}_{name}" for kind in ("object", "box") for name in names),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        levels = list(self.backbone(x).values())
        logits, deltas = self.head(levels)
        return (*levels[:-1], *logits, *deltas)

    def decoder(self) -> dict[str, Any]:
        """Return arguments of :class:`pocketeye.artifacts.mask_rcnn_numpy.MaskRCNNDecoder`."""
        return dict(self._decoder)


class RawBoxHead(nn.Module):
    """Turn crops ``(R, C, 7, 7)`` into logits ``(R, 1 + num_classes)``, background first, and deltas."""

    output_names = ("classes", "boxes")
    head: Any
    predictor: Any

    def __init__(self, model: MaskRCNN) -> None:
        super().__init__()
        self.head, self.predictor = model.roi_heads.box_head, model.roi_heads.box_predictor

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        return self.predictor(self.head(crops))


class RawMaskHead(nn.Module):
    """Turn crops ``(R, C, 14, 14)`` into logits ``(R, 1 + num_classes, 28, 28)``, background first."""

    output_names = ("masks",)
    head: Any
    predictor: Any

    def __init__(self, model: MaskRCNN) -> None:
        super().__init__()
        self.head, self.predictor = model.roi_heads.mask_head, model.roi_heads.mask_predictor

    def forward(self, crops: Tensor) -> Tensor:
        return self.predictor(self.head(crops))


def _mask_rcnn_decoder(model: Any) -> dict[str, Any]:
    rpn, heads = model.rpn, model.roi_heads
    return {
        "num_classes": model.num_classes,
        "strides": list(model.backbone.strides),
        "sizes": [list(sizes) for sizes in rpn.anchor_generator.sizes],
        "aspect_ratios": list(rpn.anchor_generator.aspect_ratios[0]),
        "score_thresh": heads.score_thresh,
        "nms_thresh": heads.nms_thresh,
        "proposal_nms_thresh": rpn.nms_thresh,
        # Private to torchvision, which has no public name for it.
        "num_proposals": rpn._post_nms_top_n["testing"],
        "detections_per_img": heads.detections_per_img,
    }
