"""Make detectors by name, on any backbone: RetinaNet and Mask R-CNN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pocketeye.errors import InvalidValue, unknown
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense.backbone import DenseBackbone, NormMode
from pocketeye.models.dense.create import backbone_name, create_backbone
from pocketeye.models.dense.fpn import Extra, FPNBackbone
from pocketeye.models.dense.mask_rcnn import MaskRCNN
from pocketeye.models.dense.retinanet import RetinaNet

Detector = RetinaNet | MaskRCNN
# Of each: the class, the strides it reads from the backbone, and how the pyramid goes on above.
_DETECTORS: dict[str, tuple[type[Detector], tuple[int, ...], Extra]] = {
    "retinanet": (RetinaNet, (8, 16, 32), "convs"),
    "mask_rcnn": (MaskRCNN, (4, 8, 16, 32), "pool"),
}
DETECTORS: tuple[str, ...] = tuple(_DETECTORS)


def create_detector(
    name: str,
    backbone: str | Path | Architecture,
    num_classes: int,
    *,
    pretrained: bool = False,
    norms: NormMode = "eval",
    trainable_stages: int = 4,
    fpn_channels: int = 256,
    # The sizes of the 1x recipes of mmdetection, which CAS-ViT's follow.
    min_size: int | tuple[int, ...] = 800,
    max_size: int = 1333,
    backbone_kwargs: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Detector:
    """Make a detector with fresh heads; the defaults are those of the CAS-ViT recipes for COCO.

    Args:
        name: ``retinanet`` (boxes) or ``mask_rcnn`` (boxes and masks).
        backbone: a registered name, an ``architecture.json`` or a run folder of a classifier, whose
            best weights are then taken. Other weights: :func:`pocketeye.models.load_backbone`, or
            :func:`pocketeye.load_checkpoint` for those of a whole detector.
        num_classes: without background; labels are 0 to ``num_classes - 1`` in both networks.
        pretrained: take the backbone's published weights, see :func:`pocketeye.create_model`.
        norms: of the backbone, ``live``, ``sync``, ``eval`` or ``frozen``; see
            :class:`pocketeye.models.dense.backbone.DenseBackbone`. The heads have none.
        trainable_stages: of the backbone, counted from the deepest, 0 to 4.
        fpn_channels: width of the pyramid and of the heads on it.
        min_size: shorter side that images are resized to (one of several by chance in training),
        max_size: unless their longer side would be above this.
        backbone_kwargs: for example ``{"drop_path_rate": 0.1}``.
        kwargs: of the network, for example ``score_thresh``.

    Raises:
        InvalidValue: an unknown name, no class, or a backbone without the maps that are needed.
    """
    if name not in _DETECTORS:
        raise unknown("detector", name, DETECTORS)
    if num_classes < 1:
        raise InvalidValue(f"a detector needs at least one class, not {num_classes}")
    kind, strides, extra = _DETECTORS[name]
    body = create_backbone(
        backbone,
        strides,
        norms=norms,
        trainable_stages=trainable_stages,
        pretrained=pretrained,
        **(backbone_kwargs or {}),
    )
    pyramid = FPNBackbone(body, fpn_channels, extra)
    # The backbone's own mean and deviation, unless the user knows better.
    detector = kind(
        pyramid, num_classes, min_size, max_size, **{**input_statistics(body), **kwargs}
    )
    detector.variant = f"{name} on {backbone_name(backbone)}"
    return detector


def input_statistics(body: DenseBackbone) -> dict[str, Any]:
    """Return ``image_mean`` and ``image_std`` as the backbone was trained with them."""
    cfg: Any = getattr(body.model, "default_cfg", None) or {}
    return {
        f"image_{name}": list(cfg[name]) for name in ("mean", "std") if cfg.get(name) is not None
    }
