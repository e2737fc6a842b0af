"""Networks and the data types that describe them, loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketeye.models._cards import (
        Card as Card,
        Cost as Cost,
        Metric as Metric,
        Paper as Paper,
        card_for as card_for,
        cards as cards,
    )
    from pocketeye.models._count import Counts as Counts, count as count
    from pocketeye.models._create import (
        build_network as build_network,
        create_model as create_model,
        list_models as list_models,
    )
    from pocketeye.models._fuse import fuse as fuse
    from pocketeye.models.architecture import (
        Architecture as Architecture,
        BlockSpec as BlockSpec,
        PlacedBlock as PlacedBlock,
    )
    from pocketeye.models.backbones.casvit import CASViT as CASViT
    from pocketeye.models.backbones.fbnet import FBNet as FBNet
    from pocketeye.models.backbones.vit import PlainViT as PlainViT
    from pocketeye.models.blocks import build_block as build_block
    from pocketeye.models.dense.backbone import (
        NORM_MODES as NORM_MODES,
        DenseBackbone as DenseBackbone,
        NormMode as NormMode,
    )
    from pocketeye.models.dense.create import (
        create_backbone as create_backbone,
        load_backbone as load_backbone,
    )
    from pocketeye.models.dense.detection import (
        DETECTORS as DETECTORS,
        create_detector as create_detector,
    )
    from pocketeye.models.dense.mask_rcnn import MaskRCNN as MaskRCNN
    from pocketeye.models.dense.raw_heads import (
        RawBoxHead as RawBoxHead,
        RawMaskHead as RawMaskHead,
        RawProposals as RawProposals,
        RawRetinaNet as RawRetinaNet,
        RawSemantic as RawSemantic,
    )
    from pocketeye.models.dense.retinanet import RetinaNet as RetinaNet
    from pocketeye.models.dense.semantic import create_semantic as create_semantic
    from pocketeye.models.dense.semantic_fpn import SemanticFPN as SemanticFPN
    from pocketeye.models.space import SearchSpace as SearchSpace, load_space as load_space
    from pocketeye.models.tam import TAM as TAM, create_tam as create_tam, list_tams as list_tams
    from pocketeye.models.weights.load import (
        load_checkpoint as load_checkpoint,
        read_state_dict as read_state_dict,
    )

# Module -> what it holds. The first ones are data, and come without torch.
_DATA = {
    "_cards": ("Card", "Cost", "Metric", "Paper", "card_for", "cards"),
    "architecture": ("Architecture", "BlockSpec", "PlacedBlock"),
    "space": ("SearchSpace", "load_space"),
}
_NETWORKS = {
    "_count": ("Counts", "count"),
    "_create": ("build_network", "create_model", "list_models"),
    "_fuse": ("fuse",),
    "weights.load": ("load_checkpoint", "read_state_dict"),
    "backbones.casvit": ("CASViT",),
    "backbones.fbnet": ("FBNet",),
    "backbones.vit": ("PlainViT",),
    "blocks": ("build_block",),
    "dense.backbone": ("NORM_MODES", "DenseBackbone", "NormMode"),
    "dense.create": ("create_backbone", "load_backbone"),
    "dense.detection": ("DETECTORS", "create_detector"),
    "dense.mask_rcnn": ("MaskRCNN",),
    "dense.raw_heads": ("RawBoxHead", "RawMaskHead", "RawProposals", "RawRetinaNet", "RawSemantic"),
    "dense.retinanet": ("RetinaNet",),
    "dense.semantic": ("create_semantic",),
    "dense.semantic_fpn": ("SemanticFPN",),
    "tam": ("TAM", "create_tam", "list_tams"),
}
_PLACES = {name: place for place, names in {**_DATA, **_NETWORKS}.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'pocketeye.models' has no attribute {name!r}")
    place = _PLACES[name]
    if place in _NETWORKS:  # whoever makes or reads a network needs every family to be registered
        import_module("pocketeye.models._registry").load_families()
    return getattr(import_module(f"pocketeye.models.{place}"), name)


def __dir__() -> list[str]:
    return sorted(_PLACES)
