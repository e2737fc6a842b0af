"""Make the backbone of a detector or segmenter from a name or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models._create import build_network, create_model
from pocketeye.models.architecture import Architecture
from pocketeye.models.dense.backbone import STRIDES, DenseBackbone, NormMode
from pocketeye.models.weights.load import backbone_state_dict


def create_backbone(
    name: str | Path | Architecture,
    strides: Sequence[int] = STRIDES,
    *,
    norms: NormMode = "eval",
    trainable_stages: int = len(STRIDES),
    pretrained: bool = False,
    **kwargs: Any,
) -> DenseBackbone:
    """Make the backbone of that name, architecture or run folder (whose best weights it then has).

    Args:
        kwargs: for :func:`pocketeye.create_model`, for example ``drop_path_rate``.

    Raises:
        InvalidValue: see :class:`DenseBackbone` and :func:`pocketeye.create_model`.
    """
    if isinstance(name, Architecture):
        # Searched networks have no registered name.
        model = build_network(name, **kwargs)
    else:
        model = create_model(name, pretrained, **kwargs)
    if not hasattr(model, "forward_intermediates") or not getattr(model, "feature_info", None):
        raise InvalidValue(f"{name} gives no maps (feature_info): it cannot be a dense backbone")
    return DenseBackbone(model, strides, norms, trainable_stages)


def load_backbone(
    model: nn.Module, path_or_state_dict: str | Path | Mapping[str, Any]
) -> nn.Module:
    """Load a backbone's weights alone into a detector or segmenter: a classifier's file, or CAS-ViT's.

    Everything the backbone has must be in the file; what the file has beside it (a classifier, the
    heads of another detector) is left. An official CAS-ViT file of any task will do.

    Returns:
        ``model`` itself.

    Raises:
        MissingFile, InvalidValue: see :func:`pocketeye.load_checkpoint`.
    """
    body = next(m for m in model.modules() if isinstance(m, DenseBackbone))
    state_dict = backbone_state_dict(body.model, path_or_state_dict)
    # Strictly: backbone_state_dict has left out what is not the backbone's.
    body.model.load_state_dict(state_dict)
    return model


def backbone_name(backbone: str | Path | Architecture) -> str:
    """Return what a person calls it."""
    return backbone.name if isinstance(backbone, Architecture) else str(backbone)
