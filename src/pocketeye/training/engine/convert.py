"""Turn plain values, as YAML gives them, into the types of a dataclass' fields."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pocketeye.errors import InvalidType, InvalidValue, nearest

T = TypeVar("T")


def dataclass_of(cls: type[T], data: Mapping[str, Any], source: str) -> T:
    """Make a ``cls`` of plain values, each converted to its field's type.

    Raises:
        InvalidValue: a key that is no field, or what ``cls`` itself refuses. InvalidType: a value of
            another kind.
    """
    hints = get_type_hints(cls)
    require_known(data, [field.name for field in fields(cls)], source)  # type: ignore[arg-type]
    return cls(**{k: converted(v, hints[k], f"{source}: {k}") for k, v in data.items()})


def require_known(keys: Iterable[object], names: Iterable[str], source: str) -> None:
    """Raise InvalidValue, with the nearest spelling, for a key that is no field."""
    known = sorted(names)
    for key in keys:
        if key not in known:
            close = nearest(str(key), known)
            guess = f"; did you mean {close!r}?" if close else f" (known: {', '.join(known)})"
            raise InvalidValue(f"{source}: unknown key {key!r}{guess}")


def converted(value: Any, hint: Any, what: str) -> Any:
    """Return ``value`` as ``hint`` wants it: YAML reads ``4e-5`` as text and knows no tuples.

    Raises:
        InvalidType: it is of another kind; ``what`` begins the sentence.
    """
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        # None was treated: what is left is the kind of all other values.
        hint = next(h for h in get_args(hint) if h is not type(None))
    if get_origin(hint) is tuple:
        return _tuple(value, get_args(hint), what)
    if get_origin(hint) is Literal:
        return value
    return _number_or_text(value, hint, what)


def plain(value: Any) -> Any:
    """Return tuples as the lists that YAML and JSON have."""
    return [plain(v) for v in value] if isinstance(value, tuple | list) else value


def _tuple(value: Any, hints: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidType(f"{what} must be a list, got {value!r}")
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(value)
    if len(value) != len(hints):
        raise InvalidType(f"{what} must be a list of {len(hints)}, got {value!r}")
    return tuple(converted(v, hint, what) for v, hint in zip(value, hints, strict=True))


def _number_or_text(value: Any, kind: type, what: str) -> Any:
    named = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
    wrong = InvalidType(f"{what} must be {named}, got {value!r}")
    if kind is bool or kind is str or isinstance(value, bool):
        # True is an int to Python, and no number to a person.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise wrong
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise wrong from None
    if kind is int and not number.is_integer():  # nor are nan and inf
        raise wrong
    # Through float: YAML may write 3.0 for a whole number.
    return kind(value) if kind is float else int(number)
