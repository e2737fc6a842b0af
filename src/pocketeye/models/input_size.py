"""Which sizes of images a network takes: some of timm's have tables or windows of one size."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models.size import Size, make_size, sides, size_text

# Not square and not what any network was made for; multiples of 32, to which detectors pad.
_ANY_SHAPE = (96, 160)
# What timm's layers raise for a size they do not take.
_RAISED = (AssertionError, RuntimeError, ValueError, IndexError, TypeError)


def fixed_size(model: nn.Module) -> int | None:
    """Return the only input size a network says it takes, or None where it takes several.

    Plain transformers have a table of positions of one size.
    """
    cfg = _cfg(model)
    patches = getattr(model, "patch_embed", None)
    if not cfg.get("fixed_input_size") or not getattr(patches, "strict_img_size", True):
        return None
    return sides(_own_size(model))[0]


def require_size(model: nn.Module, size: Size, name: str) -> None:
    """Raise InvalidValue where a network does not take images of a size: one is put through it.

    Args:
        model: gives an output, or a list of maps; it is left as it was.
        size: side, or (height, width), in pixels.
        name: of the network, for the sentence.
    """
    own = _own_size(model)
    if sides(size) != sides(own) and not _takes(model, sides(size)):
        only = " only" if fixed_size(model) else ""
        raise InvalidValue(
            f"{name} takes images of {size_text(own)} pixels{only}, not of {size_text(size)}: give "
            f"--input-size {size_text(own)}, or choose a network that takes any size"
        )


def require_any_shape(model: nn.Module, name: str) -> None:
    """Raise InvalidValue where a backbone does not take images of any shape, as detectors give them."""
    if not _takes(model, _ANY_SHAPE):
        own = size_text(_own_size(model))
        raise InvalidValue(
            f"{name} takes images of {own} pixels only, but a detector or segmenter sees images of any "
            "shape: choose another backbone (pocketeye list)"
        )


def _takes(model: nn.Module, size: tuple[int, int]) -> bool:
    weight = next(model.parameters())
    if weight.is_meta:
        return True
    x = torch.zeros(1, _in_chans(model), *size, device=weight.device, dtype=weight.dtype)
    training = [module for module in model.modules() if module.training]
    try:
        with torch.no_grad():  # not inference_mode: some keep what they made, and train with it
            model.eval()(x)
    except _RAISED:
        return False
    finally:
        for module in training:
            module.training = True  # `train()` would also wake norms that are frozen
    return True


def _own_size(model: nn.Module) -> Size:
    patches = getattr(getattr(model, "model", model), "patch_embed", None)
    own = getattr(patches, "img_size", None) or _cfg(model).get("input_size", (3, 224, 224))[-2:]
    return make_size(int(own[0]), int(own[1]))


def _in_chans(model: nn.Module) -> int:
    stem = next((p for p in model.parameters() if p.ndim == 4), None)
    return 3 if stem is None else int(stem.shape[1])


def _cfg(model: nn.Module) -> dict[str, Any]:
    inner = getattr(model, "model", model)  # of a network that gives maps
    return getattr(inner, "pretrained_cfg", None) or getattr(inner, "default_cfg", None) or {}
