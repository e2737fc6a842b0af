"""Make a network from a name or a file."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from timm.models import adapt_input_conv
from timm.models._features import FeatureGetterNet
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models._registry import own_models
from pocketeye.models.architecture import Architecture
from pocketeye.models.backbones import fbnet
from pocketeye.models.backbones.packaged import PACKAGED
from pocketeye.models.reference import (
    ArchitectureFile,
    Named,
    Run,
    TimmName,
    expect,
)
from pocketeye.models.size import sides
from pocketeye.models.task import CLASSIFY
from pocketeye.models.weights.described import read_fields
from pocketeye.models.weights.load import (
    backbone_state_dict,
    classes_in,
    head_names,
    load_checkpoint,
    read_state_dict,
)
from pocketeye.reading import Channels, Classes
from pocketeye.runs import ARCHITECTURE, BEST, MODEL


def list_models(pattern: str = "*", *, include_timm: bool = False) -> list[str]:
    """Return the names of the networks, sorted.

    Args:
        pattern: shell-style, for example ``fbnet_*``.
        include_timm: also the backbones that timm brings (every one can be trained and exported).
    """
    names = set(own_models()) | (set(timm.list_models()) if include_timm else set())
    return sorted(name for name in names if fnmatch(name, pattern))


def create_model(name: str | Path, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Make a classifier or backbone.

    Args:
        name: what :func:`pocketeye.models.reference.resolve` takes: a registered name (``fbnet_c``, any
            timm name), the path of an ``architecture.json``, or a classifier's run: its folder or,
            where it comes along, its name (``casvit_xs.tiny_imagenet_24``). A run's best weights are
            loaded; with another ``num_classes`` all but the classifier's.
        pretrained: give it the published weights of that name. Those of
            :data:`pocketeye.models.backbones.packaged.PACKAGED` come from their installed package;
            others, and names with timm's tag (``tf_efficientnet_lite0.in1k``), are fetched (needs a
            network).
        kwargs: ``num_classes``, ``in_chans``, ``drop_rate``, ``features_only`` … as timm has them.

    Raises:
        InvalidValue: unknown name (with the nearest spelling), a network of another kind, or no
            published weights to fetch.
        MissingFile: the path holds no network.
        MissingExtra: the package with the weights is not installed.
    """
    # An artefact is a graph and no module: there is nothing to train or to take apart.
    named = expect(name, "create_model", (CLASSIFY,), artifacts=False)
    if isinstance(named, Named | TimmName):
        # An installed package goes before a download.
        if pretrained and named.name in PACKAGED:
            return PACKAGED[named.name].create(**kwargs)
        if pretrained:
            return _pretrained(named.name, **kwargs)
        return timm.create_model(named.name, pretrained=False, **kwargs)  # type: ignore[no-any-return]
    # A run that comes along is its weights: to ask for them once more is no mistake.
    if pretrained and not (isinstance(named, Run) and named.bundled):
        raise InvalidValue(f"{name}: pretrained weights go with names, not with files")
    if isinstance(named, ArchitectureFile):
        model = build_network(Architecture.load(named.path), **kwargs)
        weights = named.weights
    else:
        assert isinstance(named, Run)
        model = _network_of(named.folder, **kwargs)
        weights = named.folder / BEST if (named.folder / BEST).is_file() else None
    if weights is not None:
        _load(model, weights, maps_only=bool(kwargs.get("features_only")))
    return model


def _network_of(folder: Path, **kwargs: Any) -> nn.Module:
    """Make the network of a classifier's run, without its weights."""
    if (folder / ARCHITECTURE).is_file():
        return build_network(Architecture.load(folder / ARCHITECTURE), **kwargs)
    described = read_fields(folder / MODEL, name=str, num_classes=Classes, in_chans=Channels)
    name = described.pop("name")
    if not timm.is_model(name.partition(".")[0]):  # a path would lead from file to file
        raise InvalidValue(
            f"{folder / MODEL} is not a description of a network: its name {name!r:.60} is no model, "
            f"and {ARCHITECTURE} is missing"
        )
    # A user's own arguments go before those of the file: another head on a trained backbone.
    return create_model(name, **{**described, **kwargs})


def _load(model: nn.Module, weights: Path, *, maps_only: bool) -> None:
    """Load a run's weights; into a network that only gives maps, those of its backbone.

    As timm does it, a classifier for other classes stays new, and the first convolution is brought to
    another number of channels.
    """
    network = model.model if isinstance(model, FeatureGetterNet) else model
    ours, state = network.state_dict(), read_state_dict(weights)
    for key in [f"{name}.{part}" for name in head_names(network) for part in ("weight", "bias")]:
        if key in state and key not in ours:  # made without a classifier
            del state[key]
        elif key in state and state[key].shape != ours[key].shape:
            state[key] = ours[key]
    stem = next((key for key, value in ours.items() if value.ndim == 4), None)
    if stem in state and state[stem].shape[1] != ours[stem].shape[1]:
        state[stem] = adapt_input_conv(ours[stem].shape[1], state[stem].float())
    try:
        if maps_only:
            network.load_state_dict(backbone_state_dict(network, state))
        else:
            load_checkpoint(model, state)
    except InvalidValue as error:
        raise InvalidValue(str(error).replace("the state dict", str(weights), 1)) from error


def create_for_checkpoint(name: str | Path, checkpoint: Path) -> nn.Module:
    """Make a network for as many classes and channels as the weights in a file are, and load them.

    Args:
        name: as :func:`create_model` takes it.
        checkpoint: a file of weights.

    Raises:
        InvalidValue, MissingFile: as :func:`create_model` and :func:`pocketeye.load_checkpoint`.
    """
    state = read_state_dict(checkpoint)
    # Made twice if need be: the weights of another network leave no trace in the caller's generator.
    with torch.random.fork_rng(devices=[]):
        module = create_model(name)
        held = classes_in(state, module)
        known: dict[str, Any] = {}
        # A head of other classes is told by its own name, the stem by being the first convolution.
        if held not in (None, getattr(module, "num_classes", None)):
            known["num_classes"] = held
        # Convolutions alone have four axes.
        stem = next((k for k, p in module.named_parameters() if p.ndim == 4), "")
        if stem in state and state[stem].shape[1] != module.get_parameter(stem).shape[1]:
            known["in_chans"] = int(state[stem].shape[1])
        if known:
            module = create_model(name, **known)
    return load_checkpoint(module, checkpoint)


def build_network(architecture: Architecture, **kwargs: Any) -> nn.Module:
    """Build the network of an :class:`Architecture`, through timm (so ``features_only`` works)."""
    # Any registered FBNet would do: the architecture replaces its own.
    model: nn.Module = timm.create_model("fbnet_c", architecture=architecture, **kwargs)
    cfg = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None)
    # timm's configuration is FBNet-C's: preprocessing and card of this network must be its own.
    if cfg is not None and isinstance(model, fbnet.FBNet):
        arch = model.architecture
        size = sides(architecture.input_size)
        model.default_cfg = {
            **fbnet._cfg(max(size)),
            "architecture": arch.name,
            "num_classes": arch.num_classes,
            "input_size": (arch.in_chans, *size),
        }
        # Some functions of timm read one of them, some the other.
        model.pretrained_cfg = model.default_cfg
    return model


def _pretrained(name: str, **kwargs: Any) -> nn.Module:
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        where = getattr(cfg, "origin_url", None)
        authors = f" (its authors' are published at {where})" if where else ""
        raise InvalidValue(
            f"no weights of {name!r} can be fetched{authors}: train it, or bring a file and load it "
            "with --checkpoint or pocketeye.load_checkpoint"
        )
    try:
        return timm.create_model(name, pretrained=True, **kwargs)  # type: ignore[no-any-return]
    # All that a missing network, a proxy or an offline switch makes of a download.
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        where = cfg.hf_hub_id or cfg.url
        raise InvalidValue(
            f"the weights of {name!r} could not be fetched from {where}: without a network, bring the "
            "file yourself and use pocketeye.load_checkpoint(model, 'model.safetensors')"
        ) from error
