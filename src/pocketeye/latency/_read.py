"""Read our JSON files strictly: a damaged or foreign file is one sentence, not a crash later."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from pocketeye.errors import InvalidValue

T = TypeVar("T")
# A thousand times the largest of our tables: a hostile file must not fill the memory.
_MAX_BYTES = 64 * 2**20
# Annotations are texts under `from __future__ import annotations`.
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "str": (str,), "Clock": (str,), "bool": (bool,),
    "dict[str, Any]": (dict,), "str | None": (str, type(None)), "int | None": (int, type(None)),
    "float | None": (int, float, type(None)), "tuple[str, ...]": (list, tuple),
}  # fmt: skip


class BadData(Exception):  # noqa: N818 - becomes an InvalidValue that names the file
    """Tell that a value in a file is not what it should be."""


def json_file(path: Path, schema: str, what: str) -> dict[str, Any]:
    """Return the object in ``path``, which must name ``schema``.

    Raises:
        InvalidValue: too large, truncated, not JSON, or another schema.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise InvalidValue(f"{path} is larger than any {what} ({_MAX_BYTES >> 20} MiB)")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidValue(
            f"{path} is not a {what}: it is truncated or not JSON ({error})"
        ) from error
    if not isinstance(data, dict) or data.get("schema") != schema:
        got = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise InvalidValue(f"{path} is not a {what}: its schema is {got!r}, not {schema!r}")
    return data


def number(value: Any, *, signed: bool = False) -> float:
    """Return a finite number, not negative unless ``signed``."""
    # True is a number to Python, and NaN passes every comparison with a limit.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadData(f"{str(value)[:40]!r} is not a number")
    if value < 0 and not signed:
        raise BadData(f"{value} is negative")
    return float(value)


def numbers(values: Any, length: int) -> Any:
    """Return a tuple of ``length`` numbers."""
    if not isinstance(values, list) or len(values) != length:
        raise BadData(f"{length} numbers expected, got {str(values)[:40]}")
    return tuple(number(v) for v in values)


def text(value: Any) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise BadData(f"{str(value)[:40]!r} is not a text")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """Return a copy of a JSON object."""
    if not isinstance(value, dict):
        raise BadData(f"{str(value)[:40]!r} is not a mapping")
    return dict(value)


def build(cls: type[T], data: Any, *, signed: Collection[str] = ()) -> T:
    """Build a dataclass of plain values; every field is checked by its annotation."""
    if not isinstance(data, Mapping):
        raise BadData(f"{cls.__name__} is not a mapping")
    expected = {f.name: f.type for f in fields(cls)}  # type: ignore[arg-type]
    # Unknown keys are refused too: a file of a later version may mean something else.
    if odd := sorted({*data} ^ {*expected}):
        raise BadData(f"the keys {', '.join(map(str, odd[:5]))} are missing or unknown")
    values = dict(data)
    for name, kind in expected.items():
        kinds = _KINDS.get(str(kind))
        if kinds is None:
            continue  # built and checked by the caller
        value = values[name]
        if not isinstance(value, kinds) or (bool not in kinds and isinstance(value, bool)):
            raise BadData(f"{name} is {str(value)[:40]!r}")
        if value is not None and (float in kinds or int in kinds):
            number(value, signed=name in signed)
        if list in kinds:
            values[name] = tuple(text(item) for item in data[name])
    return cls(**values)
