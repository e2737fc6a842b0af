"""Models register with timm under their function's name; a taken name is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import timm
from torch import nn

_Builder = TypeVar("_Builder", bound=Callable[..., nn.Module])
_names: dict[str, str] = {}


def register_model(fn: _Builder) -> _Builder:
    """Register ``fn`` as a timm model.

    Raises:
        ValueError: timm or we already have a model of that name.
    """
    if timm.is_model(fn.__name__):
        raise ValueError(f"a model named {fn.__name__!r} is already registered")
    _names[fn.__name__] = fn.__module__
    timm.models.register_model(fn)
    return fn


def own_models() -> list[str]:
    """Names of the models registered by pocketeye."""
    return sorted(_names)
