"""From a name or a file to a network."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import timm
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
from timm.models._features import FeatureGetterNet
from torch import nn

from pocketeye.errors import InvalidValue, MissingFile, unknown
from pocketeye.models._registry import own_models
from pocketeye.models._weights import backbone_state_dict, load_checkpoint
from pocketeye.models.architecture import Architecture
from pocketeye.models.backbones import fbnet
from pocketeye.models.backbones.packaged import PACKAGED
from pocketeye.models.size import sides
from pocketeye.runs import ARCHITECTURE, MODEL, WEIGHTS


def list_models(pattern: str = "*", *, include_timm: bool = False) -> list[str]:
    """Names of the networks, sorted.

    Args:
        pattern: shell-style, for example ``fbnet_*``.
        include_timm: also the backbones that timm brings (every one can be trained and exported).
    """
    names = set(own_models()) | (set(timm.list_models()) if include_timm else set())
    return sorted(name for name in names if fnmatch(name, pattern))


def create_model(name: str | Path, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Make a network.

    Args:
        name: a registered name (``fbnet_c``, any timm name), the path of an ``architecture.json``, or a
            run folder or the name of a run that comes along (``casvit_xs.tiny_imagenet_24``), whose
            best weights are then loaded.
        pretrained: give it the published weights of that name. Those of
            :data:`pocketeye.models.backbones.packaged.PACKAGED` come from their installed package;
            others, and names with timm's tag (``tf_efficientnet_lite0.in1k``), are fetched (needs a
            network).
        kwargs: ``num_classes``, ``in_chans``, ``drop_rate``, ``features_only`` … as timm has them.

    Raises:
        InvalidValue: unknown name (with the nearest spelling), or no published weights to fetch.
        MissingFile: the path holds no network.
        MissingExtra: the package with the weights is not installed.
    """
    from pocketeye.models.bundled import located

    path = Path(located(str(name)))
    if path.suffix == ".json" or path.is_dir() or len(path.parts) > 1:
        if pretrained:
            raise InvalidValue(f"{name}: pretrained weights go with names, not with files")
        return _from_path(path, **kwargs)
    text = str(name)
    base = text.partition(".")[0]
    if not timm.is_model(base):
        raise _unknown(text, list_models(include_timm=True))
    tags = timm.list_models(f"{base}.*", include_tags=True)
    if text != base and text not in tags and not _has_cfg(text):
        raise _unknown(text, tags)
    if pretrained and text in PACKAGED:
        return PACKAGED[text].create(**kwargs)
    if not pretrained:
        return timm.create_model(text, pretrained=False, **kwargs)  # type: ignore[no-any-return]
    return _pretrained(text, **kwargs)


def _unknown(name: str, known: list[str]) -> InvalidValue:
    """The sentence on a name that is none; those that come along are near ones too."""
    from pocketeye.models.bundled import bundled_runs

    return unknown("model", name, [*known, *bundled_runs()], "see `pocketeye list`")


def _has_cfg(name: str) -> bool:
    """Whether timm knows the tag, with published weights or without."""
    try:
        return timm.get_pretrained_cfg(name) is not None
    except RuntimeError:  # its word for an unknown tag
        return False


def _from_path(path: Path, **kwargs: Any) -> nn.Module:
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / ARCHITECTURE).is_file() and (path / MODEL).is_file():
        described = json.loads((path / MODEL).read_text(encoding="utf-8"))
        if "name" not in described:
            raise InvalidValue(
                f"{path} is the run of a detector or segmenter, not of a classifier: use it with "
                "`pocketeye predict`, or give it to training as a checkpoint"
            )
        known = {k: described[k] for k in ("num_classes", "in_chans") if k in described}
        model = create_model(described["name"], **{**known, **kwargs})
    else:
        file = path if path.suffix == ".json" else path / ARCHITECTURE
        if not file.is_file():
            raise MissingFile(f"no network at {path}: {file} is missing")
        model = build_network(Architecture.load(file), **kwargs)
    if path.is_dir() and (folder / WEIGHTS).is_file():
        _load_run(model, folder / WEIGHTS, maps_only=bool(kwargs.get("features_only")))
    return model


def _load_run(model: nn.Module, weights: Path, maps_only: bool) -> None:
    """Load a run's weights; into a network that only gives maps, those of its backbone."""
    if not maps_only:
        load_checkpoint(model, weights)
        return
    network = model.model if isinstance(model, FeatureGetterNet) else model
    network.load_state_dict(backbone_state_dict(network, weights))


def build_network(architecture: Architecture, **kwargs: Any) -> nn.Module:
    """The network of an :class:`Architecture`, through timm (so ``features_only`` works)."""
    model: nn.Module = timm.create_model("fbnet_c", architecture=architecture, **kwargs)
    cfg = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None)
    if cfg is not None and isinstance(model, fbnet.FBNet):
        arch = model.architecture
        size = sides(architecture.input_size)
        model.default_cfg = {
            **fbnet._cfg(max(size)),
            "architecture": arch.name,
            "num_classes": arch.num_classes,
            "input_size": (arch.in_chans, *size),
        }
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
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        where = cfg.hf_hub_id or cfg.url
        raise InvalidValue(
            f"the weights of {name!r} could not be fetched from {where}: without a network, bring the "
            "file yourself and use pocketeye.load_checkpoint(model, 'model.safetensors')"
        ) from error
