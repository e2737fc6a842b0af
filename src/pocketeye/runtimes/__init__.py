"""Runtimes: export a module; load, run, time and profile the artefact; prove it computes the same.

The classes are imported when asked for, so that ``import pocketeye`` stays light.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from pocketeye.errors import unknown
from pocketeye.runtimes.base import PRECISIONS as PRECISIONS
from pocketeye.runtimes.base import Artifact as Artifact
from pocketeye.runtimes.base import Executable as Executable
from pocketeye.runtimes.base import OpTiming as OpTiming
from pocketeye.runtimes.base import Precision as Precision
from pocketeye.runtimes.base import Runtime as Runtime
from pocketeye.runtimes.base import TensorSpec as TensorSpec
from pocketeye.runtimes.base import Timing as Timing
from pocketeye.runtimes.base import calibrate_inner as calibrate_inner
from pocketeye.runtimes.base import sample as sample
from pocketeye.runtimes.onnx.convnet import UnsupportedModule as UnsupportedModule
from pocketeye.runtimes.parity import ParityReport as ParityReport
from pocketeye.runtimes.parity import Thresholds as Thresholds
from pocketeye.runtimes.parity import check_parity as check_parity

if TYPE_CHECKING:
    from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime as OnnxRuntime
    from pocketeye.runtimes.onnx.writer import export_fast as export_fast
    from pocketeye.runtimes.torch.runtime import TorchRuntime as TorchRuntime

_CLASSES = {
    "onnxruntime": ("pocketeye.runtimes.onnx.onnxruntime", "OnnxRuntime"),
    "torch": ("pocketeye.runtimes.torch.runtime", "TorchRuntime"),
}
_LAZY = {
    "export_fast": "pocketeye.runtimes.onnx.writer",
    **{class_name: module for module, class_name in _CLASSES.values()},
}
RUNTIMES: tuple[str, ...] = tuple(_CLASSES)


def get_runtime(name: str) -> Runtime:
    """The runtime of that name.

    Raises:
        InvalidValue: no such runtime (with the nearest spelling).
    """
    if name not in _CLASSES:
        raise unknown("runtime", name, _CLASSES)
    module, class_name = _CLASSES[name]
    runtime: Runtime = getattr(import_module(module), class_name)()
    return runtime


def available_runtimes() -> dict[str, str | None]:
    """Every runtime with the version installed here, None where its package is missing."""
    found: dict[str, str | None] = {}
    for name in RUNTIMES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
