"""Which runtimes a test goes through: those installed here, the slow ones in `make test-all` only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from pocketeye.runtimes import available_runtimes

# Whose packages take seconds to import and to export a layer.
SLOW = ("executorch", "litert", "coreml")


def installed(*, without: Collection[str] = ()) -> list[Any]:
    """Return parameters for the installed runtimes that run here (CoreML and browsers do not)."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, version in available_runtimes().items()
        if version and name not in {"coreml", "browser", "browser-webgpu", *without}
    ]
