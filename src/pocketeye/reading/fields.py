"""Turn plain values of a file into typed fields of a dataclass: the one check that all our files pass.

A field's annotation says all that is checked: its type, ``Annotated[int, Range(1, 9)]`` what a number
may be, ``Literal`` the allowed words, a dataclass the fields below it. A library for this (pydantic,
msgspec, cattrs) would be a dependency and a start-up time for what needs one page here, and none of
them says file, field, what came and what is allowed in one sentence.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pocketeye.errors import InvalidValue, UserError, nearest
from pocketeye.reading.files import MOST_TEXT_BYTES, read_text, require_file
from pocketeye.reading.parsing import parse_json

T = TypeVar("T")
Converters = Mapping[Any, Callable[[Any], Any]]
"""For types that a file holds in another form: functions that raise ``ValueError`` for what is none."""
_AS_THEY_ARE: Converters = types.MappingProxyType({})
# Beyond it neither numpy nor torch takes a whole number.
_MOST_INT = 2**63 - 1


class Range(NamedTuple):
    """Hold the smallest and the largest value that a field may have, both allowed."""

    low: float
    high: float

    def __str__(self) -> str:
        if math.isinf(self.high):
            return f"from {self.low:g} up"
        return f"from {self.low:g} to {self.high:g}"


NonNegative = Annotated[float, Range(0.0, math.inf)]
Probability = Annotated[float, Range(0.0, 1.0)]
Count = Annotated[int, Range(1, 1e9)]
"""How many there are, where there is at least one: images, epochs, rounds."""
Whole = Annotated[int, Range(0, 1e15)]
"""How many there are, where there may be none, and what counts far: bytes, operations."""
Pixels = Annotated[int, Range(1, 65536)]
"""A side of an image. A larger one is no size, but would be taken for an order to fill the memory."""
Channels = Annotated[int, Range(1, 65536)]
Classes = Annotated[int, Range(1, 1_000_000)]


class BadField(InvalidValue):
    """Report that a value of a file is not what it should be; the message names the field."""


class _Rules(NamedTuple):
    """Say how values are read: see :func:`make`."""

    converters: Converters
    complete: bool


def _as_type(value: Any, hint: Any, name: str, rules: _Rules) -> Any:
    """Return a plain value as ``hint`` wants it; raise BadField where it is none."""
    if hint is Any:
        return value
    if hint in rules.converters:
        return _converted(value, rules.converters[hint], name)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        found = _as_type(value, args[0], name, rules)
        for mark in args[1:]:
            if isinstance(mark, Range) and found is not None and not mark.low <= found <= mark.high:
                raise _bad(name, f"{_words(args[0])} {mark}", value)
        return found
    if origin in (Union, types.UnionType):
        return _one_of_types(value, args, name, rules)
    if origin is Literal:
        if not isinstance(value, str | int) or value not in args:
            raise _bad(name, f"one of {', '.join(map(str, args))}", value)
        return value
    if origin in (tuple, list, Sequence):
        return _items(value, origin, args, name, rules)
    if origin in (dict, Mapping) or hint is dict:
        return _mapping(value, args, name, rules)
    if dataclasses.is_dataclass(hint):
        return _made(hint, value, name, rules)  # type: ignore[arg-type]
    return _scalar(value, hint, name)


def _converted(value: Any, convert: Callable[[Any], Any], name: str) -> Any:
    try:
        return convert(value)
    except (ValueError, UserError) as error:
        raise BadField(f"the field {name!r}: {error}") from error


def _one_of_types(value: Any, hints: tuple[Any, ...], name: str, rules: _Rules) -> Any:
    if value is None and types.NoneType in hints:
        return None
    inner = [hint for hint in hints if hint is not types.NoneType]
    # The last one speaks where none fits.
    for hint in inner[:-1]:
        try:
            return _as_type(value, hint, name, rules)
        except BadField:
            continue
    return _as_type(value, inner[-1], name, rules)


def _items(value: Any, origin: Any, args: tuple[Any, ...], name: str, rules: _Rules) -> Any:
    """Return a list with each item checked, as a tuple where the field is one."""
    open_end = origin is not tuple or args[-1] is Ellipsis
    hints = args[:1] * len(value) if open_end and isinstance(value, list | tuple) else args
    if not isinstance(value, list | tuple) or len(value) != len(hints):
        raise _bad(name, "a list" if open_end else f"a list of {len(args)}", value)
    found = (
        _as_type(item, hint, f"{name}[{place}]", rules)
        for place, (item, hint) in enumerate(zip(value, hints, strict=True))
    )
    return list(found) if origin is list else tuple(found)


def _mapping(value: Any, args: tuple[Any, ...], name: str, rules: _Rules) -> Any:
    if not isinstance(value, Mapping):
        raise _bad(name, "an object", value)
    if not args or args[1] is Any:
        return dict(value)
    return {
        _as_type(key, args[0], f"{name}: a name", rules): _as_type(
            item, args[1], f"{name}.{key!s:.60}", rules
        )
        for key, item in value.items()
    }


def _scalar(value: Any, kind: Any, name: str) -> Any:
    """Return text, number or truth; true is no number, and a number must be finite."""
    # JSON writes 1.0 as 1 in some programs
    fits = isinstance(value, (int, float) if kind is float else kind)
    fits = fits and (kind is bool or not isinstance(value, bool))
    if fits and kind in (int, float):
        # A float of infinity, or an integer of a thousand digits, is no number to work with.
        fits = math.isfinite(value) if isinstance(value, float) else abs(value) <= _MOST_INT
    if fits and kind is str and not _is_text(value):
        raise _bad(name, "text in UTF-8", value)
    if not fits:
        raise _bad(name, _words(kind), value)
    return value


def _is_text(value: str) -> bool:
    """Tell whether a text can be written (half a surrogate pair cannot) and be part of a path."""
    try:
        return b"\0" not in value.encode("utf-8")
    except UnicodeEncodeError:
        return False


def _words(kind: Any) -> str:
    names = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _bad(name: str, wanted: str, value: Any) -> BadField:
    # Half a surrogate pair cannot be printed.
    got = ascii(value) if isinstance(value, str) and not _is_text(value) else repr(value)
    shown = got if len(got) <= 60 else f"{got[:57]}…"
    return BadField(f"the field {name!r} should be {wanted}, and is {shown}")


@functools.lru_cache(maxsize=64)
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def make(
    cls: type[T],
    data: Any,
    name: str = "",
    *,
    converters: Converters = _AS_THEY_ARE,
    complete: bool = False,
) -> T:
    """Make a dataclass of the plain values in ``data``: no key missing, none unknown, all checked.

    Args:
        name: of the object in its file, for the sentence; empty for the whole file.
        converters: for types that stand in the file in another form.
        complete: fields with a default must be there too, as in records of what was measured.

    Raises:
        BadField: the first thing that is wrong.
    """
    return _made(cls, data, name, _Rules(converters, complete))


def _made(cls: type[T], data: Any, name: str, rules: _Rules) -> T:
    if not isinstance(data, Mapping):
        raise _bad(name, "an object", data) if name else BadField("it holds no object")
    known = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    start = f"{name}." if name else ""
    for key in data:
        if key not in known:
            close = nearest(str(key), known)
            guess = f". Did you mean {close!r}?" if close else ""
            raise BadField(f"it has the field {f'{start}{key}'!r:.80}, which is not known{guess}")
    for key, field in known.items():
        optional = field.default is not MISSING or field.default_factory is not MISSING
        if key not in data and (rules.complete or not optional):
            raise BadField(f"the field {f'{start}{key}'!r} is missing")
    hints = _hints(cls)  # type: ignore[arg-type] # classes are hashable
    values = {k: _as_type(v, hints[k], f"{start}{k}", rules) for k, v in data.items()}
    try:
        return cls(**values)
    # The class itself may refuse what its fields allow one by one.
    except UserError as error:
        raise BadField(f"the field {name!r}: {error}" if name else str(error)) from error


def pick(data: Any, /, **hints: Any) -> dict[str, Any]:
    """Return some fields of an object, checked; others in it are passed over.

    Args:
        hints: the type of each field; one that may be missing is optional (``int | None``).

    Raises:
        BadField: one is missing or of another type, or ``data`` is no object.
    """
    if not isinstance(data, Mapping):
        raise BadField("it holds no object")
    found = {}
    for name, hint in hints.items():
        if name not in data and types.NoneType not in get_args(hint):
            raise BadField(f"the field {name!r} is missing")
        found[name] = _as_type(data.get(name), hint, name, _Rules(_AS_THEY_ARE, False))
    return found


def make_mapping(data: Any) -> dict[str, Any]:
    """Return an object whose keys are text, as the options of a YAML file are.

    Raises:
        BadField: it is no object.
    """
    if not isinstance(data, Mapping):
        raise BadField(
            f"it holds {type(data).__name__}, and lines of the form key: value are expected"
        )
    return {str(key): value for key, value in data.items()}


@contextmanager
def reading(path: Path, what: str, remedy: str = "") -> Iterator[None]:
    """Turn what is wrong with the content of a file into the sentence that names the file.

    Args:
        what: the file should be: "a latency table".
        remedy: what to do about it.

    Raises:
        InvalidValue: for any ``ValueError`` inside (BadField and InvalidValue are such).
    """
    try:
        yield
    except ValueError as error:
        # The file's name is said once.
        reason = str(error).removeprefix(f"{path} is ").removeprefix(f"{path} ")
        end = f": {remedy}" if remedy else ""
        raise InvalidValue(f"{path} is not {what}: {reason}{end}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Describe a kind of JSON file: what it is called, its schema, what to do about a damaged one."""

    what: str
    schema: str | None = None
    remedy: str = ""
    most_bytes: int = MOST_TEXT_BYTES

    def read(self, path: Path) -> dict[str, Any]:
        """Return the object in a file of this kind, without the key ``schema`` if it has one of its own.

        Raises:
            MissingFile: nothing there. InvalidValue: damaged, no object, or of another schema.
        """
        require_file(path, f"there is no file {path}")
        with reading(path, self.what, self.remedy):
            text = read_text(path, self.most_bytes)
            try:
                data = parse_json(text)
            except ValueError as error:
                raise BadField(f"it is damaged, or no JSON ({error})") from error
            if not isinstance(data, dict):
                raise BadField("it holds no JSON object")
            schema = data.get("schema")
            # Before the fields: those of another schema have other names.
            if self.schema is not None and data.pop("schema", None) != self.schema:
                raise BadField(f"its schema is {schema!r:.60}, not {self.schema!r}")
        return data

    def load(
        self,
        cls: type[T],
        path: Path,
        *,
        converters: Converters = _AS_THEY_ARE,
        complete: bool = False,
    ) -> T:
        """Return the content of a file of this kind as a dataclass, see :func:`make`.

        Raises:
            MissingFile, InvalidValue: as :meth:`read`, or a field that is not as it should be.
        """
        data = self.read(path)
        with reading(path, self.what, self.remedy):
            return make(cls, data, converters=converters, complete=complete)

    def pick(self, path: Path, /, **hints: Any) -> dict[str, Any]:
        """Return some fields of a file of this kind (see :func:`pick`).

        Raises:
            MissingFile, InvalidValue: as :meth:`load`.
        """
        data = self.read(path)
        with reading(path, self.what, self.remedy):
            return pick(data, **hints)
