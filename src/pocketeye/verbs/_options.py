"""Check options that belong to some kinds of networks only, and those that a run remembers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pocketeye.errors import InvalidValue
from pocketeye.runs import COMMAND, CONFIG, RunFolder

P = ParamSpec("P")
R = TypeVar("R")
# These say how to begin, and where; they are never taken from the run.
_ASKED_ANEW = ("out", "resume", "overwrite")


def refuse(what: str, **options: Any) -> None:
    """Raise InvalidValue for an option that was given and means nothing here.

    An option that was left out is None, and a flag that is off is False; every other value, zero too,
    was given.

    Args:
        what: to what it means nothing: ``a classifier``.
        options: by the names of the arguments.
    """
    for name, value in options.items():
        if value is not None and value is not False:
            flag = "--" + name.replace("_", "-")
            raise InvalidValue(f"{flag} means nothing to {what}: leave it out")


def remembering(verb: Callable[P, R]) -> Callable[P, R]:
    """Let a verb that goes on (``resume``, ``out``) take options that are left out from its run.

    Options that are given win over remembered ones; whether a run may go on with them is for the verb
    to say.
    """
    signature = inspect.signature(verb)

    @wraps(verb)
    def with_remembered(*args: P.args, **kwargs: P.kwargs) -> R:
        given = dict(signature.bind_partial(*args, **kwargs).arguments)
        if given.get("resume") and given.get("out") is not None:
            # What is given now wins over what was remembered.
            given = {**_remembered(Path(given["out"]), signature), **given}
        return verb(**given)  # type: ignore[call-arg]

    return with_remembered


def to_remember(verb: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a verb's options that differ from their defaults."""
    parameters = inspect.signature(verb).parameters
    return {
        name: str(value) if isinstance(value, Path) else value  # as JSON holds it
        # Defaults may be left out: they are the same next time.
        for name, value in options.items()
        if name not in _ASKED_ANEW and value != parameters[name].default
    }


def _remembered(folder: Path, signature: inspect.Signature) -> dict[str, Any]:
    if not (folder / CONFIG).is_file():
        return {}
    stored = RunFolder(folder).config().get(COMMAND) or {}
    # Only options that the verb still has.
    return {name: value for name, value in stored.items() if name in signature.parameters}
