"""Open ``.pt2`` files safely.

``torch.export.load`` unpickles some parts of an archive, evaluates texts as code and resolves any
name below ``torch``. So :func:`load_pt2` first reads the archive as plain zip and JSON, and opens it
only if it holds nothing but static aten operators and raw tensors, which is all that
:func:`save_pt2` writes.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx

from pocketeye.errors import InvalidValue
from pocketeye.reading import parse_json, require_bounded, require_file

# Every member that torch.export writes for a program without pickles; any other is refused.
_MEMBERS = re.compile(
    r"[^/]+/(archive_format|archive_version|byteorder|\.data/(version|serialization_id|alignment)"
    r"|models/model\.json|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt"
    r"|\.format_version|\.storage_alignment)"
)
_PAYLOADS = re.compile(r"(weight|tensor)_\d+")
_TARGETS = re.compile(r"torch\.ops\.aten\.\w+\.\w+|_operator\.getitem")
_MOST_BYTES = 16 << 30  # of all weights, unpacked
# What zipfile, zlib and reading an unexpected structure raise.
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, KeyError, IndexError, TypeError, ValueError,
    AttributeError, EOFError, OSError, RuntimeError, NotImplementedError,
)  # fmt: skip
# Kinds of values that torch evaluates or resolves on loading.
_DYNAMIC = ("as_expr", "expr_str", "as_sym_int", "as_custom_obj", "as_operator")


def save_pt2(program: torch.export.ExportedProgram, path: Path) -> None:
    """Write a program without its example inputs, which would be pickled.

    Raises:
        OSError: it cannot be written.
    """
    program.example_inputs = None
    # torch ends the whole process where it cannot finish a file itself.
    data = io.BytesIO()
    torch.export.save(program, data)
    path.write_bytes(data.getvalue())


def load_pt2(path: Path) -> fx.GraphModule:
    """Load the module of a program written by :func:`save_pt2`.

    Raises:
        InvalidValue: not such a file, or it holds something that could run code.
    """
    _check(path)
    try:
        # Guards were refused above: there is nothing to check.
        return torch.export.load(path).module(check_guards=False)
    except Exception as error:  # torch makes errors of every kind for what it cannot read
        raise _unreadable(path, error) from error


def _check(path: Path) -> None:
    require_file(path, f"there is no network at {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            require_bounded(path, archive, _MOST_BYTES)
            _check_archive(path, archive)
    except InvalidValue:
        raise
    except _DAMAGED as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> InvalidValue:
    reason = " ".join(str(error).split()) or type(error).__name__
    return InvalidValue(
        f"{path} is damaged, or not a network exported by pocketeye with this version of torch "
        f"({reason:.120}): export it again"
    )


def _check_archive(path: Path, archive: zipfile.ZipFile) -> None:
    names = archive.namelist()
    for name in names:
        if not _MEMBERS.fullmatch(name):
            raise _refusal(path, f"the member {name!r}")
    # What is checked must be what torch reads: of two members of a name it might take the other.
    if len({name.lower() for name in names}) != len(names):
        raise _refusal(path, "two members of one name")
    (root,) = {name.split("/", 1)[0] for name in names}
    # Empty, as save_pt2 leaves it: anything in it would be unpickled.
    if archive.read(f"{root}/data/sample_inputs/model.pt"):
        raise _refusal(path, "pickled example inputs")
    for config in ("weights/model_weights", "constants/model_constants"):
        payloads = parse_json(archive.read(f"{root}/data/{config}_config.json"))["config"]
        for name, payload in payloads.items():
            if payload["use_pickle"] is not False or not _PAYLOADS.fullmatch(payload["path_name"]):
                raise _refusal(path, f"the pickled object {name!r}")
    program = parse_json(archive.read(f"{root}/models/model.json"))
    # Guards are evaluated as Python; constraints belong to dynamic shapes, which are never written.
    if program["guards_code"] or program["range_constraints"]:
        raise _refusal(path, "guards or dynamic shapes")
    for key, value in _items(program["graph_module"]):
        if key == "target" and isinstance(value, str) and not _TARGETS.fullmatch(value):
            raise _refusal(path, f"the operator {value!r}")
        if key in _DYNAMIC:
            raise _refusal(path, f"a value of the kind {key!r}")


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key with its value, however deep; without recursion, as a file may be deep."""
    pending = [value]
    while pending:
        here = pending.pop()
        if isinstance(here, dict):
            yield from here.items()
            pending += here.values()
        elif isinstance(here, list):
            pending += here


def _refusal(path: Path, what: str) -> InvalidValue:
    return InvalidValue(f"{path} was not opened: it holds {what}, which pocketeye never writes")
