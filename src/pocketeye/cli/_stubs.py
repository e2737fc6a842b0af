"""Make verbs as cyclopts takes them: their signature at once, their module when they are called.

``pocketeye.cli._stubs:train_detector`` is found like any function of a module.
"""

from __future__ import annotations

import functools
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated, Any, TypedDict

from cyclopts import Group, Parameter, Token

from pocketeye.arguments import accepting
from pocketeye.cli._source import signature_of
from pocketeye.cli._verbs import VERBS, source_module


def __getattr__(function: str) -> Callable[..., Any]:
    for verb, place in VERBS.items():
        tasks = {verb: (place, place)} if isinstance(place, str) else place
        for module, name in tasks.values():
            if name == function:
                return _stub(module, name)
    raise AttributeError(f"no verb is the function {function!r}")


def _stub(module: str, name: str) -> Callable[..., Any]:
    place = source_module(module)
    module = f"pocketeye.verbs.{module}"
    if place is None:  # made in the running program, as a test does
        return getattr(import_module(module), name)  # type: ignore[no-any-return]

    def call(*args: Any, **options: Any) -> Any:
        return accepting(getattr(import_module(module), name))(*args, **options)

    signature, doc = signature_of(place, name)
    only_for = _only_for(doc)
    parameters = [
        p.replace(annotation=_grouped(_as_typed(p), only_for.get(p.name)))
        for p in signature.parameters.values()
    ]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    call.__name__, call.__qualname__, call.__doc__ = name, name, doc
    return call


def _as_typed(parameter: inspect.Parameter) -> Any:
    """Return the type of a parameter, whole numbers with :func:`_whole` in place of rounding."""
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
        return _strict(parameter.annotation)
    (group,) = typing.get_args(parameter.annotation)
    fields = {key: _strict(kind) for key, kind in typing.get_type_hints(group).items()}
    made: Any = TypedDict(group.__name__, fields, total=False)  # type: ignore[misc]
    made.__doc__ = group.__doc__
    return typing.Unpack[made]


def _strict(annotation: Any) -> Any:
    kinds = typing.get_args(annotation) or (annotation,)
    if int not in kinds:
        return annotation
    if str in kinds:  # such as 480x360, which the verb reads itself
        return str | None
    return Annotated[annotation, Parameter(converter=_whole)]


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """Read a whole number; cyclopts alone rounds 1.5 to 2."""
    text = tokens[0].value
    try:
        number = float(text)
    # Words of other kinds would be cut off without a word.
    except ValueError:
        raise ValueError(f"unable to convert {text!r} into int") from None
    if not number.is_integer():
        raise ValueError(f"{text!r} is not a whole number")
    # Digits beyond what a float holds stay exact.
    return int(text) if text.lstrip("+-").isdecimal() else int(number)


# "of a classifier: images at once", "of trackers: how objects are shown"
_ONLY = re.compile(r"^ +(\w+): of ((?:an? |the )?[a-z]+(?: and [a-z]+)?)[:,] ", re.MULTILINE)


def _only_for(doc: str) -> dict[str, str]:
    """Return the arguments that mean something to one kind of network only, and to which."""
    return {name: f"Only of {kind}" for name, kind in _ONLY.findall(doc)}


def _grouped(annotation: Any, title: str | None) -> Any:
    """Have the help gather an option below a title."""
    if title is None:
        return annotation
    return Annotated[annotation, Parameter(group=_group(title))]


@functools.cache
def _group(title: str) -> Group:
    return Group(title, sort_key=50)  # after the options of all kinds, before those of every verb
