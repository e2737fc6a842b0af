"""Bring what a verb is called with to what its signature says: one place for all of them.

From Python people give text where a path is meant, one thing where many are, numbers of numpy; from a
shell and a YAML file come numbers that are out of range. :func:`accepting` stands between them and the
verb. What it does not know (images, arrays, frames) it hands on.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeAlias,
    TypeVar,
    get_args,
    get_origin,
)

from pocketeye.bars import notebook_bars
from pocketeye.errors import InvalidType, InvalidValue, nearest, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    ImageLike: TypeAlias = str | Path | Image.Image | NDArray[Any]
    Images: TypeAlias = ImageLike | Sequence[ImageLike]
    OneOrMoreImages: TypeAlias = Images
    ModelOrImages: TypeAlias = ImageLike | Sequence[ImageLike]
else:  # what a shell can say of it; the mark tells `accepting` that there is more
    Images = Annotated[list[str], "images"]
    OneOrMoreImages = Annotated[Path, "images"]
    ModelOrImages = Annotated[str, "a network, or images"]

P = ParamSpec("P")
R = TypeVar("R")

_MANY = 1_000_000  # of what is counted; more is a slip of the finger
_MOST_PIXELS = 8192  # of a side: an image of that size is 800 MB of floats
_MOST_THREADS = (
    256  # more than any machine's cores; the runtimes abort where the system has no more
)
_MOST_PROCESSES = 1024
_SEEDS = 2**63 - 1  # torch's

# Option -> least and largest value; whether a verb allows less, it says itself.
RANGES: dict[str, tuple[float, float]] = {
    "batch_size": (1, 65_536), "calibration_nets": (1, _MANY), "candidates": (1, _MANY),
    "corrected_frames": (1, _MANY), "crop_layers": (0, 8), "epochs": (1, _MANY),
    "fpn_channels": (1, 65_536), "fps": (0.001, 1000), "frame": (0, 1e9),
    "head_channels": (1, 65_536), "hole_area": (0, 1e9), "input_size": (1, _MOST_PIXELS),
    "library_epochs": (1, _MANY), "patience": (0.001, 1e6), "port": (0, 65_535),
    "teacher_epochs": (1, _MANY), "tune_steps": (0, _MANY),
    "lr": (1e-9, 1e3), "depth": (1, 99), "max_prompted_maps": (1, _MANY), "measure_top": (1, _MANY),
    "max_trainings": (0.01, 1e4), "stretch": (1, 1e9),
    "min_area": (0, 1e9), "nets": (1, _MANY), "num_classes": (1, _MANY),
    "num_processes": (1, _MOST_PROCESSES), "points_per_side": (1, 1024),
    "pred_iou_threshold": (0, 1), "rounds": (1, _MANY), "runs": (1, _MANY), "samples": (1, _MANY),
    "score_threshold": (0, 1), "seed": (0, _SEEDS), "stability_threshold": (0, 1),
    "start": (0, 1e9), "stop": (0, 1e9), "synthetic_share": (0, 1), "target_ms": (1e-6, 1e9),
    "teacher_size": (1, _MOST_PIXELS), "threads": (1, _MOST_THREADS), "tolerance": (0, 1),
    "smooth": (1, _MANY), "topk": (1, _MANY), "train_epochs": (1, _MANY), "warmup_epochs": (0, _MANY),
    "width": (0.01, 100), "workers": (0, 256),
}  # fmt: skip


_FRAMES = ("videos",)  # which may be in memory, or come from a camera
# How a place is written, for sentences about one that is not.
_PLACES = {"point": "(x, y)", "box": "(x0, y0, x1, y1)"}


def accepting(function: Callable[P, R]) -> Callable[P, R]:
    """Return a verb that takes what people give it.

    Text where a path is meant and paths where text is; one where a list is asked for; whole numbers of
    any kind. Numbers outside of :data:`RANGES`, words that are not allowed and arguments that do not
    exist are refused.
    """

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        # By the signature: the one place that says what a verb takes.
        signature, hints = _described(function)
        for name in options:
            if hints and name not in hints:
                raise InvalidType(_no_argument(function.__name__, name, list(hints)))
        try:
            bound = signature.bind(*args, **options)
        # Python's own error for a wrong call is right, but names no verb.
        except TypeError as error:
            raise InvalidType(f"{function.__name__}: {error}") from error
        for name, value in bound.arguments.items():
            # Options in a group: their types are those of the TypedDict.
            if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
                brought_all = {key: brought(key, v, hints.get(key)) for key, v in value.items()}
                value.update(brought_all)
            else:
                bound.arguments[name] = brought(name, value, hints.get(name))
        # In a notebook nobody else shows progress; on the command line the bars are there already.
        with notebook_bars():
            return function(*bound.args, **bound.kwargs)

    return call


@functools.cache
def _described(function: Callable[..., Any]) -> tuple[inspect.Signature, Mapping[str, Any]]:
    """Return the signature, and the type of every argument, of those in a group of options too."""
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD and name in hints:
            hints |= typing.get_type_hints(get_args(hints.pop(name))[0])
    return signature, hints


def _no_argument(function: str, name: str, known: list[str]) -> str:
    close = nearest(name, known)
    guess = f" Did you mean {close!r}?" if close else ""
    return f"{function} has no argument {name!r}.{guess} ({', '.join(known)})"


def brought(name: str, value: Any, hint: Any) -> Any:
    """Bring the value of an argument to the type in the signature.

    Raises:
        InvalidType: a value of another kind.
        InvalidValue: a number out of range, or a word that is not allowed.
    """
    kinds = _kinds(hint)
    if value is None or not kinds:
        return value
    # Numbers and arrays of places are written as on the command line, which is parsed once.
    if name in _PLACES and not isinstance(value, str):
        texts = _places(name, value)
        if str in kinds and len(texts) != 1:
            raise InvalidValue(f"{name} takes one, got {len(texts)}")
        return texts[0] if str in kinds else texts
    if any(get_origin(kind) is Literal for kind in kinds):
        allowed = [word for kind in kinds for word in get_args(kind)]
        if value not in allowed:
            raise unknown(name, str(value), [str(word) for word in allowed])
        return value
    if bool in kinds:
        return _flag(name, value)
    if (int in kinds or float in kinds) and not (str in kinds and isinstance(value, str)):
        return _number(name, value, whole=float not in kinds)
    if Path in kinds:
        return _path(name, value, hint)
    if str in kinds:
        return os.fspath(value) if isinstance(value, os.PathLike) else _text(name, value, hint)
    return _listed(name, value, kinds, hint)


def _kinds(hint: Any) -> tuple[Any, ...]:
    """Return the types of which a value may be, without None."""
    if get_origin(hint) is Annotated:
        return _kinds(get_args(hint)[0])
    if isinstance(hint, UnionType) or get_origin(hint) is typing.Union:
        return tuple(kind for part in get_args(hint) for kind in _kinds(part))
    return () if hint in (None, NoneType, Any) else (hint,)


def _listed(name: str, value: Any, kinds: tuple[Any, ...], hint: Any) -> Any:
    """Make one text or path a list of one; a list's texts and paths become what is asked for."""
    more = _takes_more(hint) or name in _FRAMES
    if isinstance(value, Iterator) and not more:
        value = list(value)
    for kind in kinds:
        # A tuple of any length is written with an ellipsis, which is no type.
        origin, inner = get_origin(kind), [part for part in get_args(kind) if part is not ...]
        if origin not in (list, tuple) or not inner:
            continue
        if isinstance(value, str | os.PathLike):
            return origin([brought(name, value, inner[0])])
        if isinstance(value, list | tuple | set | frozenset) and all(
            isinstance(item, str | os.PathLike) for item in value
        ):
            return origin(brought(name, item, inner[0]) for item in value)
    if more or not all(map(_is_list_of_words, kinds)):
        return value
    raise InvalidType(f"{name} is a text or a path, or a list of these, got {repr(value)[:60]}")


def _is_list_of_words(kind: Any) -> bool:
    inner = get_args(kind)[0] if get_origin(kind) in (list, tuple) else None
    return inner in (str, Path) or get_origin(inner) is Literal


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # numpy's is another
        return bool(value)
    raise InvalidType(f"{name} is either True or False, got {value!r}")


def _number(name: str, value: Any, *, whole: bool) -> float:
    """Return an int or float, in its range."""
    # numpy's numbers and arrays of one value are numbers to a person.
    given = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
    # True is 1 to Python, and no number to a person.
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise InvalidType(f"{name} is a {'whole ' if whole else ''}number, got {value!r}")
    low, high = RANGES.get(name, (-math.inf, math.inf))
    if whole and math.isfinite(given) and given != int(given):
        raise InvalidValue(f"{name} is a whole number, got {given!r}")
    # NaN is within no bounds, but compares false with all of them.
    if not (low <= given <= high and math.isfinite(given)):
        raise InvalidValue(f"{name} must be from {_said(low)} to {_said(high)}, got {given!r}")
    return int(given) if whole else given


def _said(bound: float) -> str:
    # Large whole numbers are written out: 1e+06 would have to be worked out.
    return f"{bound:g}" if abs(bound) < _MANY or math.isinf(bound) else f"{bound:.0f}"


def _path(name: str, value: Any, hint: Any) -> Any:
    if not isinstance(value, str | os.PathLike):
        return _text(name, value, hint)
    # Path("") is the current folder, which nobody means by an empty text.
    if not os.fspath(value):
        raise InvalidValue(f"{name} is an empty text: give a path, or leave it out")
    return Path(value)


def _text(name: str, value: Any, hint: Any) -> Any:
    return value if isinstance(value, str) or _takes_more(hint) else _wrong(name, value)


def _takes_more(hint: Any) -> bool:
    """Tell whether more than text is taken, such as images, as an alias in the signature says."""
    return any(get_origin(part) is Annotated for part in (hint, *get_args(hint)))


def _places(name: str, value: Any) -> list[str]:
    """Write points and boxes given as numbers as they are written on the command line.

    A point is ``(x, y)`` or ``(x, y, label)``, a box ``(x0, y0, x1, y1)``; one or several, or an array.
    """
    plain = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(plain, list | tuple):
        raise InvalidType(f"{name} is given as numbers, {_PLACES[name]}, got {value!r}")
    # One place, not several: its items are numbers.
    if plain and all(isinstance(number, int | float) for number in plain):
        return [_place(name, plain)]
    listed = [[item] if isinstance(item, str) else _places(name, item) for item in plain]
    if any(len(texts) != 1 for texts in listed):  # empty, or one level of lists too many
        raise InvalidType(f"{name} is given as numbers, {_PLACES[name]}, got {value!r}")
    return [text for (text,) in listed]


def _place(name: str, numbers: list[float] | tuple[float, ...]) -> str:
    label = ""
    if name == "point" and len(numbers) == 3:
        # The third number of a point says whether it is in the object.
        *numbers, last = numbers
        label = f":{last:g}"
    return ",".join(repr(float(number)) for number in numbers) + label


def _wrong(name: str, value: Any) -> Any:
    raise InvalidType(f"{name} is a text or a path, got {type(value).__name__}")
