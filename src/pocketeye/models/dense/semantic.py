"""Make segmenters on any backbone: Semantic FPN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense.backbone import NormMode
from pocketeye.models.dense.create import backbone_name, create_backbone
from pocketeye.models.dense.fpn import FPNBackbone
from pocketeye.models.dense.semantic_fpn import SemanticFPN


def create_semantic(
    backbone: str | Path | Architecture,
    num_classes: int,
    *,
    pretrained: bool = False,
    norms: NormMode = "eval",
    head_norms: NormMode = "live",
    trainable_stages: int = 4,
    fpn_channels: int = 256,
    channels: int = 128,
    drop_rate: float = 0.1,
    full_size: bool = True,
    backbone_kwargs: dict[str, Any] | None = None,
) -> SemanticFPN:
    """Make a Semantic FPN with a fresh head; the defaults are those of the CAS-ViT recipes for ADE20K.

    Args:
        backbone: a registered name, an ``architecture.json`` or a run folder of a classifier, whose
            best weights are then taken. Other weights: :func:`pocketeye.models.load_backbone`, or
            :func:`pocketeye.load_checkpoint` for those of a whole segmenter.
        num_classes: all of them, a background too where the data has one.
        pretrained: take the backbone's published weights, see :func:`pocketeye.create_model`.
        norms: of the backbone, ``live``, ``sync``, ``eval`` or ``frozen``; see
            :class:`pocketeye.models.dense.backbone.DenseBackbone`.
        head_norms: of the head, ``live`` or ``sync``.
        trainable_stages: of the backbone, counted from the deepest, 0 to 4.
        fpn_channels: width of the pyramid.
        channels: width of the head.
        drop_rate: before the classifier.
        full_size: logits of the image's size, not a quarter of it.
        backbone_kwargs: for example ``{"drop_path_rate": 0.1}``.

    Raises:
        InvalidValue: no class, or a backbone without the maps that are needed.
    """
    if num_classes < 1:
        raise InvalidValue(f"a segmenter needs at least one class, not {num_classes}")
    if head_norms not in ("live", "sync"):
        raise InvalidValue(f"norms of the head can be 'live' or 'sync', not {head_norms!r}")
    body = create_backbone(
        backbone,
        norms=norms,
        trainable_stages=trainable_stages,
        pretrained=pretrained,
        **(backbone_kwargs or {}),
    )
    model = SemanticFPN(
        FPNBackbone(body, fpn_channels),
        num_classes,
        channels,
        drop_rate,
        full_size,
        sync_norms=head_norms == "sync",
    )
    model.variant = f"semantic_fpn on {backbone_name(backbone)}"
    return model
