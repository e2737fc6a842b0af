"""Register what a family of networks brings: its models with timm, and how it reads checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import timm
from torch import Tensor, nn

_Builder = TypeVar("_Builder", bound=Callable[..., nn.Module])
_Filter = TypeVar("_Filter", bound=Callable[..., dict[str, Tensor]])
_names: dict[str, str] = {}

# Modules that register names with timm, or how checkpoints are read.
_FAMILIES = ("backbones.casvit", "backbones.fbnet", "backbones.efficientnet_keys", "dense.keys",
             "tam.checkpoints")  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFilter:
    """Say how a family reads checkpoints.

    Attributes:
        kinds: classes of its networks.
        rename: brings a state dict, ours or somebody else's, to the keys of a network.
        explain: says, of a state dict that does not fit a network, what it is instead; None where a
            family cannot tell.
        after: is called with the file and the network once weights are loaded, to warn of what
            only shows then.
    """

    kinds: tuple[type[nn.Module], ...]
    rename: Callable[..., dict[str, Tensor]]
    explain: Callable[[Mapping[str, Tensor], Any], str | None] | None = None
    after: Callable[[Path, Any], None] | None = None


# Filled on import by the families themselves: this module knows none of them.
_filters: list[CheckpointFilter] = []


def register_model(fn: _Builder) -> _Builder:
    """Register ``fn`` as a timm model.

    Raises:
        ValueError: timm or we already have a model of that name.
    """
    # timm itself only warns, and the later model would silently take the place of the other.
    if timm.is_model(fn.__name__):
        raise ValueError(f"a model named {fn.__name__!r} is already registered")
    # timm keeps all names together: ours are remembered here, for `pocketeye list`.
    _names[fn.__name__] = fn.__module__
    timm.models.register_model(fn)
    return fn


def own_models() -> list[str]:
    """Return the names of the models registered by pocketeye."""
    load_families()
    return sorted(_names)


def checkpoint_filter(
    *kinds: type[nn.Module],
    explain: Callable[[Mapping[str, Tensor], Any], str | None] | None = None,
    after: Callable[[Path, Any], None] | None = None,
) -> Callable[[_Filter], _Filter]:
    """Register a function ``(state_dict, network) -> state_dict`` for networks of these classes.

    See :class:`CheckpointFilter` for the arguments.

    Raises:
        ValueError: a class already has a filter.
    """

    def register(rename: _Filter) -> _Filter:
        for kind in kinds:
            # The first filter found would win, by the order of imports.
            if any(kind in known.kinds for known in _filters):
                raise ValueError(f"{kind.__name__} already has a checkpoint filter")
        _filters.append(CheckpointFilter(kinds=kinds, rename=rename, explain=explain, after=after))
        return rename

    return register


def filter_of(network: nn.Module) -> CheckpointFilter | None:
    """Return how checkpoints of a network's family are read; None where nothing is registered."""
    load_families()
    # The first that fits: classes of two families are never derived from one another.
    return next((known for known in _filters if isinstance(network, known.kinds)), None)


def load_families() -> None:
    """Have every family registered; they import this module, so it cannot import them first."""
    for place in _FAMILIES:
        import_module(f"pocketeye.models.{place}")
