"""Verbs as cyclopts takes them: with their signature at once, and their module when they are called.

``pocketeye.cli._stubs:train_detector`` is found like any function of a module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from pocketeye.cli._source import signature_of
from pocketeye.cli._verbs import VERBS, source_module


def __getattr__(function: str) -> Callable[..., Any]:
    for verb, place in VERBS.items():
        tasks = {verb: (place, place)} if isinstance(place, str) else place
        for module, name in tasks.values():
            if name == function:
                return _stub(f"pocketeye.verbs.{module}", name)
    raise AttributeError(f"no verb is the function {function!r}")


def _stub(module: str, name: str) -> Callable[..., Any]:
    if module in sys.modules:
        return getattr(sys.modules[module], name)  # type: ignore[no-any-return]
    place = source_module(module.removeprefix("pocketeye.verbs."))
    assert place is not None, module

    def call(*args: Any, **options: Any) -> Any:
        return getattr(import_module(module), name)(*args, **options)

    call.__signature__, call.__doc__ = signature_of(place, name)  # type: ignore[attr-defined]
    call.__annotations__ = {
        p.name: p.annotation
        for p in call.__signature__.parameters.values()  # type: ignore[attr-defined]
    }
    call.__name__ = call.__qualname__ = name
    return call
