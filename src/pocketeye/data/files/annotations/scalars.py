"""Single values of annotations, whose numbers and flags are text in many exports."""

from __future__ import annotations

import math
import re
from typing import Any

# Eighteen digits fit into 64 bits; leading zeros make it a name.
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
_NO = frozenset(("", "0", "0.0", "false", "no", "off", "n", "f", "none", "null"))
_YES = frozenset(("1", "1.0", "true", "yes", "on", "y", "t"))


def read_id(value: Any) -> int | str | None:
    """Return an id: whole numbers as ``int``, also where they are written ``12.0`` or ``"12"``.

    Other text stays as it is (``"0012"`` too, which is a name). None for what is no id.
    """
    # True is 1 to Python; in a json it is no id.
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, str):
        text = value.strip()
        return int(text) if _WHOLE.fullmatch(text) else text or None
    return None


def read_number(value: Any) -> float | None:
    """Return a finite number, written as one or as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def read_flag(value: Any) -> bool | None:
    """Return a flag, written as a truth value, a number or a word; None where it is neither.

    ``"0"``, ``"false"``, an empty text and nothing at all are False.
    """
    text = "" if value is None else str(value).strip().lower()
    if text in _YES:
        return True
    return False if text in _NO else None
