"""Export a module; load, run, time and profile the artefact; prove that it computes the same.

The classes are imported when asked for, so that ``import pocketeye`` stays light.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from pocketeye.errors import MissingExtra, unknown
from pocketeye.runtimes._store import seal as seal
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
    from pocketeye.runtimes.onnx.convnet import UnsupportedModule as UnsupportedModule
    from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime as OnnxRuntime
    from pocketeye.runtimes.onnx.writer import export_fast as export_fast
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
        extra: of pocketeye that brings the package; None where it is always installed.
    """

    module: str
    class_name: str
    package: str
    extra: str | None = None

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
    ),
    "torch": RuntimePackage(
        module="pocketeye.runtimes.torch.runtime", class_name="TorchRuntime", package="torch"
    ),
}
RUNTIMES: tuple[str, ...] = tuple(PACKAGES)
# Modules that open an artefact and import neither torch nor an exporter.
_OPENERS = {"onnxruntime": "pocketeye.runtimes.onnx.executable"}
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
        MissingExtra: its package is not installed (with the command that installs it).
    """
    if name not in PACKAGES:
        raise unknown("runtime", name, PACKAGES)
    row = PACKAGES[name]
    # Told before the import, whose error would name a module and not a package.
    if row.extra is not None and row.version() is None:
        raise MissingExtra(f"the runtime {name!r}", row.package, row.extra)
    runtime: Runtime = getattr(import_module(row.module), row.class_name)()
    return runtime


def open_artifact(artifact: Artifact, *, threads: int = 1) -> Executable:
    """Open an artefact by its own runtime, without what only an export needs where that can be.

    Raises:
        MissingFile, InvalidValue, MissingExtra: as :func:`get_runtime` and :meth:`Runtime.load`.
    """
    if artifact.runtime in _OPENERS:
        opened: Executable = import_module(_OPENERS[artifact.runtime]).load(
            artifact, threads=threads
        )
        return opened
    return get_runtime(artifact.runtime).load(artifact, threads=threads)


def available_runtimes() -> dict[str, str | None]:
    """Return every runtime with the version installed here, None where its package is missing."""
    return {name: row.version() for name, row in PACKAGES.items()}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
