"""Export a module; load, run, time and profile the artefact; prove that it computes the same.

The classes are imported when asked for, so that ``import pocketeye`` stays light.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from pocketeye.errors import InvalidValue, MissingExtra, unknown
from pocketeye.runtimes._store import eval_mode as eval_mode, seal as seal
from pocketeye.runtimes.base import (
    PRECISIONS as PRECISIONS,
    Artifact as Artifact,
    Executable as Executable,
    ExportRequest as ExportRequest,
    OpTiming as OpTiming,
    Precision as Precision,
    Runtime as Runtime,
    TensorSpec as TensorSpec,
)

if TYPE_CHECKING:
    from pocketeye.runtimes.coreml.runtime import CoreMLRuntime as CoreMLRuntime
    from pocketeye.runtimes.executorch.runtime import ExecuTorchRuntime as ExecuTorchRuntime
    from pocketeye.runtimes.litert.runtime import LiteRTRuntime as LiteRTRuntime
    from pocketeye.runtimes.onnx.convnet import UnsupportedModule as UnsupportedModule
    from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime as OnnxRuntime
    from pocketeye.runtimes.onnx.writer import export_fast as export_fast
    from pocketeye.runtimes.openvino.runtime import OpenVinoRuntime as OpenVinoRuntime
    from pocketeye.runtimes.parity import (
        PARITY as PARITY,
        ParityReport as ParityReport,
        Status as Status,
        Thresholds as Thresholds,
        check_parity as check_parity,
    )
    from pocketeye.runtimes.torch.runtime import TorchRuntime as TorchRuntime


@dataclass(frozen=True, kw_only=True, slots=True)
class RuntimePackage:
    """Say where a runtime lives, and what must be installed for it.

    Attributes:
        module, class_name: of the :class:`Runtime`, imported only when it is asked for.
        package: the distribution on PyPI that runs the artefacts; often not the runtime's own name
            (``coreml`` is ``coremltools``).
        files: names of what an artefact of it consists of.
        extra: of pocketeye that brings the package; None where it is always installed.
        oldest: version of the package that the runtime is written for; older ones are refused. It is
            that of the extra in pyproject.toml.
    """

    module: str
    class_name: str
    package: str
    files: tuple[str, ...]
    extra: str | None = None
    oldest: str = "0"

    @property
    def install(self) -> str:
        """Return the command that installs it."""
        return (
            f'pip install "pocketeye[{self.extra}]"'
            if self.extra
            else f"pip install {self.package}"
        )

    def version(self) -> str | None:
        """Return the version that is installed here; None where it is missing."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


# One row makes a runtime known everywhere.
# The order is that of tables and of help: the default first.
PACKAGES = {
    "onnxruntime": RuntimePackage(
        module="pocketeye.runtimes.onnx.onnxruntime",
        class_name="OnnxRuntime",
        package="onnxruntime",
        files=("model.onnx",),
    ),
    "torch": RuntimePackage(
        module="pocketeye.runtimes.torch.runtime",
        class_name="TorchRuntime",
        package="torch",
        files=("model.pt2",),
    ),
    "openvino": RuntimePackage(
        module="pocketeye.runtimes.openvino.runtime",
        class_name="OpenVinoRuntime",
        package="openvino",
        files=("model.xml", "model.bin"),
        extra="openvino",
        oldest="2026.4",
    ),
    "executorch": RuntimePackage(
        module="pocketeye.runtimes.executorch.runtime",
        class_name="ExecuTorchRuntime",
        package="executorch",
        files=("model.pte",),
        extra="executorch",
        oldest="1.5",
    ),
    "litert": RuntimePackage(
        module="pocketeye.runtimes.litert.runtime",
        class_name="LiteRTRuntime",
        package="ai-edge-litert",
        files=("model.tflite",),
        extra="litert",
        oldest="2.3",
    ),
    "coreml": RuntimePackage(
        module="pocketeye.runtimes.coreml.runtime",
        class_name="CoreMLRuntime",
        package="coremltools",
        files=("model.mlpackage",),
        extra="coreml",
        oldest="9",
    ),
}
RUNTIMES: tuple[str, ...] = tuple(PACKAGES)
# Modules that open an artefact and import neither torch nor an exporter.
_OPENERS = {
    "onnxruntime": "pocketeye.runtimes.onnx.executable",
    "openvino": "pocketeye.runtimes.openvino.executable",
    "litert": "pocketeye.runtimes.litert.executable",
}
# What takes torch to import; artefacts are opened and run without.
_LAZY = {
    **dict.fromkeys(
        ("PARITY", "ParityReport", "Status", "Thresholds", "check_parity"),
        "pocketeye.runtimes.parity",
    ),
    "UnsupportedModule": "pocketeye.runtimes.onnx.convnet",
    "export_fast": "pocketeye.runtimes.onnx.writer",
    **{row.class_name: row.module for row in PACKAGES.values()},
}


def get_runtime(name: str) -> Runtime:
    """Return the runtime of that name.

    Raises:
        InvalidValue: no such runtime (with the nearest spelling).
            Or its package is too old, or cannot be imported.
        MissingExtra: its package is not installed (with the command that installs it).
    """
    if name not in PACKAGES:
        raise unknown("runtime", name, PACKAGES)
    row = PACKAGES[name]
    runtime: Runtime = getattr(_imported(name, row.module), row.class_name)()
    return runtime


def _imported(name: str, module: str) -> Any:
    """Import a module of a runtime, where the package is there and new enough."""
    row = PACKAGES[name]
    found = row.version()
    # Told before the import, whose error would name a module and not a package.
    if row.extra is not None and found is None:
        raise MissingExtra(f"the runtime {name!r}", row.package, row.extra)
    if found is not None and numbers_of(found) < numbers_of(row.oldest):
        raise InvalidValue(
            f"the runtime {name!r} needs {row.package} {row.oldest} or newer, and {found} is installed: "
            f"{row.install} --upgrade"
        )
    try:
        return import_module(module)
    except ImportError as error:
        # Compiled parts that were made for another version of torch or numpy.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidValue(
            f"the runtime {name!r} is installed ({row.package} {found}) and cannot be imported "
            f"({reason:.160}): {row.install} --upgrade"
        ) from error


def numbers_of(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: ``2026.4.1rc1`` gives (2026, 4, 1)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def open_artifact(artifact: Artifact, *, threads: int = 1) -> Executable:
    """Open an artefact by its own runtime, without what only an export needs where that can be.

    Raises:
        MissingFile, InvalidValue, MissingExtra: as :func:`get_runtime` and :meth:`Runtime.load`.
    """
    opener = _OPENERS.get(artifact.runtime)
    if opener is None:
        return get_runtime(artifact.runtime).load(artifact, threads=threads)
    opened: Executable = _imported(artifact.runtime, opener).load(artifact, threads=threads)
    return opened


def available_runtimes() -> dict[str, str | None]:
    """Return every runtime with the version installed here, None where its package is missing."""
    return {name: row.version() for name, row in PACKAGES.items()}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
