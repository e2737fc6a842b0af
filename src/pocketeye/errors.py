"""Define the errors that a user can cause: each is a single sentence that says what to do.

The command line prints the message of a :class:`UserError` and exits with 2; everything else is
our own mistake and crashes with its stack.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class UserError(Exception):
    """Report something the user can put right; never raised for an internal mistake."""


class InvalidValue(UserError, ValueError):  # noqa: N818 - named for the mistake
    """Report a value that is not allowed."""


class InvalidType(UserError, TypeError):  # noqa: N818
    """Report a value of the wrong kind."""


class MissingFile(UserError, FileNotFoundError):  # noqa: N818
    """Report a file or folder that is not there."""


class MissingExtra(UserError, ImportError):  # noqa: N818
    """Report an optional package that is not installed."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: "
            f'pip install "pocketeye[{extra}]"'
        )


# Shares of common letters; 0.6 is difflib's own: below it guesses are no help.
_NEAR, _LIKELY = 0.6, 0.7


def nearest(got: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed spelling closest to ``got``, or None where nothing is close."""
    names = list(allowed)
    # The hyphens that every option begins with make none of them alike.
    bare = {name.lstrip("-"): name for name in names}
    word = got.lstrip("-")
    close = difflib.get_close_matches(word, bare, n=1, cutoff=_NEAR)
    if close and (close[0][:1] == word[:1] or _share(close[0], word) >= _LIKELY):
        return bare[close[0]]
    # `onnx` for `onnxruntime`: far apart by letters, yet what was meant.
    return next(
        (name for key, name in bare.items() if len(word) > 2 and key.startswith(word)), None
    )


def _share(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, one).ratio()


def unknown(what: str, got: str, allowed: Iterable[str], remedy: str = "") -> InvalidValue:
    """Make an error for a name that does not exist, with its nearest spelling and the allowed ones."""
    names = sorted(allowed)
    close = nearest(got, names)
    guess = f". Did you mean {close!r}?" if close else ""
    shown = ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
    return InvalidValue(f"unknown {what} {got!r}{guess} ({remedy or f'allowed: {shown}'})")


def require_range(name: str, value: float, low: float, high: float) -> None:
    """Raise InvalidValue unless ``low <= value <= high``."""
    if not low <= value <= high:
        raise InvalidValue(f"{name} must be from {low:g} to {high:g}, got {value!r}")


def require_one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise InvalidValue, with the nearest spelling, unless ``value`` is allowed."""
    if value not in allowed:
        raise unknown(name, str(value), allowed)


def require_pair(name: str, pair: Sequence[float], low: float, high: float) -> None:
    """Raise InvalidValue unless ``low <= pair[0] <= pair[1] <= high``."""
    if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
        raise InvalidValue(
            f"{name} must be two numbers, rising, from {low:g} to {high:g}, got {list(pair)}"
        )
