"""Our backbones become timm's as soon as timm is imported, and timm (with torch) not before.

Seconds pass while torch is imported, and ``pocketeye --help`` has no use for it. So importing pocketeye
does not import timm; whoever does finds ``timm.create_model("casvit_xs")``.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_BELOW = ("pocketeye.models", "pocketeye.layers")


def register_with_timm() -> None:
    """Register our backbones with timm: now where it is imported already, else when it is."""
    if "timm" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _TimmFinder())


def _register() -> None:
    # Where a module below them took timm and is still being imported, the families would import it in
    # a circle: then they follow when the registry is asked.
    below = [module for name, module in sys.modules.items() if name.startswith(_BELOW)]
    if not any(getattr(module.__spec__, "_initializing", False) for module in below):
        import_module("pocketeye.models._registry").load_families()


class _TimmFinder(MetaPathFinder):
    """Finds timm as Python would, once, and has it loaded with our backbones."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname != "timm":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("timm")
        if spec is not None and spec.loader is not None:
            spec.loader = _TimmLoader(spec.loader)
        return spec


class _TimmLoader(Loader):
    """Runs timm by its own loader, hands the module back to that, and registers our backbones."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register()
