"""Load weights, our own safetensors and the official checkpoints, strictly and safely."""

from __future__ import annotations

import argparse
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models._registry import filter_of
from pocketeye.models.weights.bundled import weights_at
from pocketeye.models.weights.saved import check_saved
from pocketeye.reading import require_bounded, require_file

# EMA first: it is what was evaluated, in timm's checkpoints as in the official ones.
_CONTAINERS = ("model_ema", "state_dict_ema", "state_dict", "model")
_PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and of torch.compile
# Others, such as KeyError of a byte that is no instruction of pickle, say nothing to a person.
_SPEAKING = (RuntimeError, OSError, ValueError, SafetensorError)
_MOST_BYTES = 64 << 30  # the largest published checkpoint that is read here has 2.6 GB


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read a checkpoint file, or that of a run's folder or name, without running any code in it.

    ``.safetensors``, or a PyTorch file opened with ``weights_only=True``, in which beside tensors only
    an ``argparse.Namespace`` is let through (official CAS-ViT files carry their options as one). EMA
    weights are preferred where a training checkpoint holds both.

    Raises:
        MissingFile: nothing there. InvalidValue: truncated, not a checkpoint, one that would need
            unpickling of foreign objects, or weights of ours that changed since they were saved.
    """
    path = weights_at(path)
    require_file(path, f"no checkpoint at {path}")
    try:
        _require_bounded(path)
        if path.suffix == ".safetensors":
            state = load_file(path)
            check_saved(path, state)
            return state
        # Namespace alone is let through: it holds options, and making one runs no code.
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # torch warns of old pickles even where it then refuses or reads them.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except InvalidValue:
        raise
    except pickle.UnpicklingError as error:
        raise InvalidValue(
            f"{path} is refused: it is no plain file of tensors (loading it could run foreign code)"
        ) from error
    except Exception as error:  # of a flipped bit torch makes errors of every kind
        raise InvalidValue(f"{path} is truncated or no checkpoint{_detail(error)}") from error
    return unwrap(content, str(path))


def _require_bounded(path: Path) -> None:
    """Refuse a zip that unpacks to far more than it is; torch itself stores what it saves unpacked."""
    if path.suffix != ".safetensors" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            require_bounded(path, archive, _MOST_BYTES)


def _detail(error: Exception) -> str:
    """Return the first sentence of what torch or safetensors says, where it says something."""
    said = str(error) if isinstance(error, _SPEAKING) else ""
    return f": {said.splitlines()[0].partition('. ')[0]}" if said else ""


def unwrap(content: Any, source: str = "the state dict") -> dict[str, Tensor]:
    """Return the bare state dict inside the usual containers and prefixes.

    Raises:
        InvalidValue: there is no mapping of names to tensors in it.
    """
    for name in _CONTAINERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    if not isinstance(content, Mapping) or not content:
        raise InvalidValue(f"{source} holds no weights (a mapping of names to tensors)")
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    # A mapping of mappings is a checkpoint of an unknown layout: half of it must not load silently.
    if len(tensors) < len(content):
        odd = next(str(k) for k, v in content.items() if not isinstance(v, Tensor))
        raise InvalidValue(f"{source} holds no plain weights: {odd!r} is not a tensor")
    for prefix in _PREFIXES:
        # Only where all names have it: a network may have a part called "module".
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def load_checkpoint(
    model: nn.Module, path_or_state_dict: str | Path | Mapping[str, Any]
) -> nn.Module:
    """Load weights into ``model``, strictly; our own layout and the official ones are recognised.

    FBNet takes ours, timm's ``fbnetc_100`` and mobile_cv's (``fbnet_*_mobile_cv`` networks); CAS-ViT
    ours and the official files for classification (one head or two), detection and segmentation, see
    :func:`pocketeye.models.backbones.casvit_keys.checkpoint_filter_fn`; EfficientNets timm's and
    EfficientNet-PyTorch's; detectors and segmenters ours and the
    official CAS-ViT files (mmdetection, mmsegmentation; :mod:`pocketeye.models.dense.keys`); trackers
    ours and the official EfficientTAM files, with a warning where a file is known to be another
    variant's. A network made with
    ``features_only`` loads like the backbone it holds.

    Returns:
        The model itself.

    Raises:
        MissingFile: no such file.
        InvalidValue: the file is damaged or hostile, or the weights do not fit; the sentence counts
            and names what is missing, unexpected or of another shape, and the model is unchanged.
    """
    network = model.model if isinstance(model, FeatureGetterNet) else model
    state_dict, source = _filtered(network, path_or_state_dict)
    _require_fit(network, state_dict, source)
    # All was checked before: a checkpoint that does not fit leaves the model as it was.
    network.load_state_dict(state_dict)
    known = filter_of(network)
    # Warnings are about files: a state dict has no name or hash to know it by.
    if known and known.after and not isinstance(path_or_state_dict, Mapping):
        known.after(Path(path_or_state_dict), network)
    return model


def backbone_state_dict(
    network: nn.Module, path_or_state_dict: str | Path | Mapping[str, Any]
) -> dict[str, Tensor]:
    """Return the weights in a file for all of ``network``, without what it has for a head.

    Raises:
        MissingFile, InvalidValue: as for :func:`load_checkpoint`, but for unexpected keys.
    """
    state_dict, source = _filtered(network, path_or_state_dict)
    # The head of the file is left, whatever it is for; the backbone must be there as a whole.
    ours = network.state_dict()
    state_dict = {key: value for key, value in state_dict.items() if key in ours}
    _require_fit(network, state_dict, source)
    return state_dict


def head_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers that give the classes, as timm's ``default_cfg`` has them."""
    cfg: Any = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None) or {}
    # A network with two heads names both.
    names = cfg.get("classifier") or ()
    return (names,) if isinstance(names, str) else tuple(names)


def classes_in(state: Mapping[str, Tensor], model: nn.Module) -> int | None:
    """Count the classes the weights of a file are for; None where it has no head under our names."""
    for name in head_names(model):
        if f"{name}.weight" in state:
            return int(state[f"{name}.weight"].shape[0])
    return None


def _filtered(
    network: nn.Module, path_or_state_dict: str | Path | Mapping[str, Any]
) -> tuple[dict[str, Tensor], str]:
    """Read a file, and bring it to the keys of ``network``; also its name for messages."""
    if isinstance(path_or_state_dict, Mapping):
        source, state_dict = "the state dict", unwrap(path_or_state_dict)
    else:
        source = str(path_or_state_dict)
        state_dict = read_state_dict(Path(path_or_state_dict))
    known = filter_of(network)
    try:
        if known:
            state_dict = known.rename(state_dict, network)
    except InvalidValue as error:
        raise InvalidValue(f"{source} does not fit {_name(network)}: {error}") from error
    return state_dict, source


def _require_fit(model: nn.Module, state_dict: Mapping[str, Tensor], source: str) -> None:
    ours = model.state_dict()
    # Older checkpoints lack BN's counters, which nothing here depends on.
    missing = [k for k in ours if k not in state_dict and not k.endswith("num_batches_tracked")]
    unexpected = [k for k in state_dict if k not in ours]
    shapes = [
        f"{k} {tuple(v.shape)}, here {tuple(ours[k].shape)}"
        for k, v in state_dict.items()
        if k in ours and v.shape != ours[k].shape
    ]
    # Three names of each kind: enough to recognise a wrong file, and still a sentence.
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
        )
        if names
    ]
    if problems:
        known = filter_of(model)
        explained = known.explain(state_dict, model) if known and known.explain else None
        problem = explained or "; ".join(problems)
        raise InvalidValue(f"{source} does not fit {_name(model)}: {problem}")
    # BN's counters that older files lack: ours stay, so that loading can be strict.
    if isinstance(state_dict, dict):
        for key in ours:
            state_dict.setdefault(key, ours[key])


def _name(model: nn.Module) -> str:
    architecture = getattr(model, "architecture", None)
    cfg: Any = getattr(model, "pretrained_cfg", None) or {}
    known = getattr(architecture, "name", None) or getattr(model, "variant", None)
    return str(known or cfg.get("architecture") or type(model).__name__)
