"""Modules of EfficientTAM, without state; the session around them is in ``pocketeye.tracking``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketeye.models.tam.create import (
        TAMSpec as TAMSpec,
        create_tam as create_tam,
        list_tams as list_tams,
    )
    from pocketeye.models.tam.image_encoder import (
        BackboneTrunk as BackboneTrunk,
        ImageEncoder as ImageEncoder,
        ImageFeatures as ImageFeatures,
    )
    from pocketeye.models.tam.mask_decoder import MaskDecoder as MaskDecoder
    from pocketeye.models.tam.memory_attention import (
        Memory as Memory,
        MemoryAttention as MemoryAttention,
        Pooling as Pooling,
        join as join,
    )
    from pocketeye.models.tam.memory_encoder import MemoryEncoder as MemoryEncoder
    from pocketeye.models.tam.memory_rule import MemoryRule as MemoryRule
    from pocketeye.models.tam.prompt_encoder import PromptEncoder as PromptEncoder
    from pocketeye.models.tam.tam import TAM as TAM, Prediction as Prediction

_HELD = {
    "create": (
        "TAMSpec",
        "create_tam",
        "list_tams",
    ),
    "image_encoder": (
        "BackboneTrunk",
        "ImageEncoder",
        "ImageFeatures",
    ),
    "mask_decoder": ("MaskDecoder",),
    "memory_attention": (
        "Memory",
        "MemoryAttention",
        "Pooling",
        "join",
    ),
    "memory_encoder": ("MemoryEncoder",),
    "memory_rule": ("MemoryRule",),
    "prompt_encoder": ("PromptEncoder",),
    "tam": (
        "TAM",
        "Prediction",
    ),
}
_PLACES = {name: place for place, names in _HELD.items() for name in names}


def __getattr__(name: str) -> Any:
    # what is data in this folder comes without torch
    if name not in _PLACES:
        raise AttributeError(f"module 'pocketeye.models.tam' has no attribute {name!r}")
    return getattr(import_module(f"pocketeye.models.tam.{_PLACES[name]}"), name)
