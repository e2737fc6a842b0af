"""Weights of ours on disk: safetensors that carry a checksum and the network they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pocketeye.errors import InvalidValue
from pocketeye.runs import MODEL, write_atomic

# The one key of the header that is ours: a JSON object with the two below. Several keys would be
# written in an order that changes from process to process.
_OURS, _SUM, _NETWORK = "pocketeye", "sha256", "network_sha256"
# Of a description: names of data may change with the place where they lie.
_FREE = ("data", "data_sha256")


def save_weights(state: Mapping[str, Tensor], path: Path, *, model: Path | None = None) -> Path:
    """Write a state dict as safetensors with its checksum, atomically, in plain (NCHW) layout.

    Args:
        model: the ``model.json`` of the network; weights beside another one are refused.

    Raises:
        InvalidValue: no room, or no right to write; the old file is whole.
    """
    plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    note = {_SUM: checksum(plain)}
    if model is not None and model.is_file():
        note[_NETWORK] = _of_network(model)
    return write_atomic(path, save(plain, metadata={_OURS: json.dumps(note)}))


def check_saved(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse weights of ours that are not what was saved, or that belong to another network.

    Files of others have no checksum, and pass.

    Args:
        state: what was read from ``path``.

    Raises:
        InvalidValue: a bit has changed, or the ``model.json`` beside the file is of another network.
    """
    try:
        with safe_open(path, "pt") as file:
            note = json.loads((file.metadata() or {}).get(_OURS, "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path) from error
    if not isinstance(note, dict) or note.get(_SUM, "") not in ("", checksum(state)):
        raise _damaged(path)
    model = path.parent / MODEL
    if _NETWORK in note and model.is_file() and _of_network(model) != note[_NETWORK]:
        raise InvalidValue(
            f"{path} belongs to another network than {model} describes: one of the two was copied or "
            "edited; put back the one that belongs to it, or train again with --overwrite"
        )


def _damaged(path: Path) -> InvalidValue:
    return InvalidValue(
        f"{path} is damaged: its contents are not those that were saved (another checksum); take a "
        "copy of it, or train again"
    )


def checksum(value: Any) -> str:
    """Return the sha256 of tensors and plain values, nested as in a checkpoint.

    Two values have one checksum where names, order, types, shapes and every bit are the same.
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        plain = value.detach().cpu().contiguous()
        digest.update(f"tensor {plain.dtype} {tuple(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, Mapping):
        digest.update(f"mapping {len(value)}".encode())
        # Sorted, as safetensors gives its tensors back in an order of its own.
        for key in sorted(value, key=repr):
            digest.update(f"key {key!r}".encode())
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}".encode())
        for item in value:
            _feed(digest, item)
    else:
        digest.update(f"{type(value).__name__} {value!r}".encode())


def _of_network(model: Path) -> str:
    """Return the sha256 of what a description says of the network itself.

    Raises:
        InvalidValue: the file is damaged.
    """
    try:
        data = json.loads(model.read_text(encoding="utf-8"))
        said = {key: value for key, value in data.items() if key not in _FREE}
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidValue(f"{model} is damaged: {error}") from error
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
