"""Bring detectors and segmenters of the official CAS-ViT code to our keys.

Their files have the layout of mmdetection 2.24 and mmsegmentation 0.24: the backbone under
``backbone.`` (:mod:`pocketeye.models.backbones.casvit_keys` renames it), the pyramid under
``neck.``, and heads. Ours are torchvision's names, after ``head.``, ``rpn.`` and ``roi_heads.``:

=====================================  ================================================
theirs                                 ours
=====================================  ================================================
``backbone.*``                         ``backbone.body.model.*``
``neck.lateral_convs.N.conv``          ``backbone.fpn.inner_blocks.N.0``
``neck.fpn_convs.N.conv``              ``backbone.fpn.layer_blocks.N.0``
``neck.fpn_convs.{3,4}.conv``          ``backbone.fpn.extra_blocks.{p6,p7}`` (RetinaNet)
``bbox_head.cls_convs.N.conv``         ``head.classification_head.conv.N.0``
``bbox_head.reg_convs.N.conv``         ``head.regression_head.conv.N.0``
``bbox_head.retina_cls``               ``head.classification_head.cls_logits``
``bbox_head.retina_reg``               ``head.regression_head.bbox_reg``
``rpn_head.rpn_conv``                  ``rpn.head.conv.0.0``
``rpn_head.rpn_cls``                   ``rpn.head.cls_logits``
``rpn_head.rpn_reg``                   ``rpn.head.bbox_pred``
``roi_head.bbox_head.shared_fcs.{0,1}``  ``roi_heads.box_head.{fc6,fc7}``
``roi_head.bbox_head.fc_cls``          ``roi_heads.box_predictor.cls_score`` *
``roi_head.bbox_head.fc_reg``          ``roi_heads.box_predictor.bbox_pred`` *
``roi_head.mask_head.convs.N.conv``    ``roi_heads.mask_head.N.0``
``roi_head.mask_head.upsample``        ``roi_heads.mask_predictor.conv5_mask``
``roi_head.mask_head.conv_logits``     ``roi_heads.mask_predictor.mask_fcn_logits`` *
``decode_head.scale_heads.L.N.conv``   ``head.levels.L.N.conv`` (``bn``: ``norm``)
``decode_head.conv_seg``               ``head.classifier``
=====================================  ================================================

(*) Background is their last class and our first. ``fc_cls`` has it and is rolled; ``fc_reg`` and
``conv_logits`` have no rows for it, and get zeros that nothing reads.

Nothing else is permuted, for the conventions are the same: anchors of a cell by ratio, then size, and
within an anchor by class or as dx, dy, dw, dh; crops flattened as (channel, row, column) before
``shared_fcs``; deltas of boxes divided by (0.1, 0.1, 0.2, 0.2), which is torchvision's (10, 10, 5, 5).
Where torchvision's defaults differ, our networks do not follow them: see
:mod:`pocketeye.models.dense.retinanet` and :mod:`pocketeye.models.dense.mask_rcnn`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pocketeye.models._registry import checkpoint_filter
from pocketeye.models.backbones import casvit_keys
from pocketeye.models.backbones.casvit import CASViT
from pocketeye.models.dense.mask_rcnn import MaskRCNN
from pocketeye.models.dense.retinanet import RetinaNet
from pocketeye.models.dense.semantic_fpn import SemanticFPN

_BODY = "backbone.body.model."
_OFFICIAL = re.compile(r"(neck|bbox_head|rpn_head|roi_head|decode_head)\.")
_RENAMED = tuple(
    (re.compile(rf"^{theirs}\."), ours)
    for theirs, ours in (
        (r"neck\.lateral_convs\.(\d+)\.conv", r"backbone.fpn.inner_blocks.\1.0."),
        (r"neck\.fpn_convs\.(\d+)\.conv", r"backbone.fpn.layer_blocks.\1.0."),
        (r"bbox_head\.cls_convs\.(\d+)\.conv", r"head.classification_head.conv.\1.0."),
        (r"bbox_head\.reg_convs\.(\d+)\.conv", r"head.regression_head.conv.\1.0."),
        (r"bbox_head\.retina_cls", "head.classification_head.cls_logits."),
        (r"bbox_head\.retina_reg", "head.regression_head.bbox_reg."),
        (r"rpn_head\.rpn_conv", "rpn.head.conv.0.0."),
        (r"rpn_head\.rpn_cls", "rpn.head.cls_logits."),
        (r"rpn_head\.rpn_reg", "rpn.head.bbox_pred."),
        (r"roi_head\.bbox_head\.shared_fcs\.0", "roi_heads.box_head.fc6."),
        (r"roi_head\.bbox_head\.shared_fcs\.1", "roi_heads.box_head.fc7."),
        (r"roi_head\.bbox_head\.fc_cls", "roi_heads.box_predictor.cls_score."),
        (r"roi_head\.bbox_head\.fc_reg", "roi_heads.box_predictor.bbox_pred."),
        (r"roi_head\.mask_head\.convs\.(\d+)\.conv", r"roi_heads.mask_head.\1.0."),
        (r"roi_head\.mask_head\.upsample", "roi_heads.mask_predictor.conv5_mask."),
        (r"roi_head\.mask_head\.conv_logits", "roi_heads.mask_predictor.mask_fcn_logits."),
        (r"decode_head\.scale_heads\.(\d+)\.(\d+)\.conv", r"head.levels.\1.\2.conv."),
        (r"decode_head\.scale_heads\.(\d+)\.(\d+)\.bn", r"head.levels.\1.\2.norm."),
        (r"decode_head\.conv_seg", "head.classifier."),
    )
)
_EXTRA = re.compile(r"backbone\.fpn\.layer_blocks\.(\d+)\.0\.")


@checkpoint_filter(RetinaNet, MaskRCNN, SemanticFPN)
def checkpoint_filter_fn(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename a state dict, ours or official, of a RetinaNet, Mask R-CNN or Semantic FPN.

    A norm of a map that the network does not read (RetinaNet's at stride 4) is left out, and one that
    the file lacks stays as it is.

    Raises:
        InvalidValue: the backbone is another variant of CAS-ViT.
    """
    # Ours already.
    if not any(_OFFICIAL.match(key) for key in state_dict):
        return dict(state_dict)
    body = model.get_submodule(_BODY.removesuffix("."))
    theirs = {k: v for k, v in state_dict.items() if k.startswith("backbone.")}
    if isinstance(body, CASViT):
        renamed = casvit_keys.checkpoint_filter_fn(theirs, body)
        own = body.state_dict()
        renamed = {k: v for k, v in renamed.items() if k in own or not k.startswith("out_norms.")}
    else:
        renamed = {key.removeprefix("backbone."): value for key, value in theirs.items()}
    ours = {f"{_BODY}{key}": value for key, value in renamed.items()}
    # Lateral convolutions count the backbone's maps: what fpn_convs has beyond them is P6 and P7.
    num_levels = sum(1 for key in state_dict if re.match(r"neck\.lateral_convs\.\d+\.conv\.w", key))
    for key, value in state_dict.items():
        if key not in theirs:
            ours[_place(key, num_levels)] = _with_background_first(key, value)
    return ours


def _place(key: str, num_levels: int) -> str:
    for theirs, ours in _RENAMED:
        if theirs.match(key):
            key = theirs.sub(ours, key)
            break
    match = _EXTRA.match(key)
    if match and int(match[1]) >= num_levels:
        level = f"backbone.fpn.extra_blocks.p{6 + int(match[1]) - num_levels}."
        return _EXTRA.sub(level, key)
    return key


def _with_background_first(key: str, value: Tensor) -> Tensor:
    if key.startswith("roi_head.bbox_head.fc_cls."):
        # fc_cls has a row for background, the last one.
        return torch.cat([value[-1:], value[:-1]])
    rows = 0
    if key.startswith("roi_head.bbox_head.fc_reg."):
        rows = 4
    elif key.startswith("roi_head.mask_head.conv_logits."):
        rows = 1
    return torch.cat([value.new_zeros(rows, *value.shape[1:]), value]) if rows else value
