"""Write ranges beside the fields they are for, and check them in one function."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pocketeye.errors import require_range, unknown
from pocketeye.reading import Range

Share = Annotated[float, Range(0, 1)]
# The lowest rate is not 0: other rates are divided by the peak.
Rate = Annotated[float, Range(1e-9, 1e3)]
# Dropout of 1 would leave nothing to learn from.
DropRate = Annotated[float, Range(0, 0.99)]


def require_ranges(values: Any) -> None:
    """Check every field of a dataclass against its annotation.

    ``Annotated[int, Range(1, 9)]`` limits a number, ``Literal`` names the allowed words; both work
    inside tuples and optional fields too.

    Raises:
        InvalidValue: the first field that is out of range, or spelt unlike every allowed word.
    """
    for name, hint in get_type_hints(type(values), include_extras=True).items():
        _require(name, getattr(values, name), hint)


def _require(name: str, value: Any, hint: Any) -> None:
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        # Annotations may carry other marks than ranges.
        for mark in inside[1:]:
            if isinstance(mark, Range):
                require_range(name, value, mark.low, mark.high)
        _require(name, value, inside[0])
    elif origin is Literal:
        if value not in inside:
            raise unknown(name, str(value), map(str, inside))
    elif origin in (Union, types.UnionType):
        if value is not None:
            _require(name, value, next(h for h in inside if h is not type(None)))
    elif origin is tuple:
        hints = inside[:1] * len(value) if inside[-1] is Ellipsis else inside
        for item, item_hint in zip(value, hints, strict=True):
            _require(name, item, item_hint)
