"""Define a runtime: it exports a module to an artefact, loads it, runs it, times and profiles it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np

from pocketeye.errors import InvalidValue, unknown
from pocketeye.outputs import cannot_write, write_whole
from pocketeye.reading import Kind, Range, require_file
from pocketeye.runs import MANIFEST

if TYPE_CHECKING:
    import torch
    from torch import nn

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
Ranges = Literal["static", "dynamic"]  # of int8: found once with images, or anew in every run
Boundary = Literal["float", "quantized"]  # what an int8 graph takes and gives at its ends
DTYPES = ("float32", "float16", "float64", "uint8", "int8", "int32", "int64", "bool")
"""Of inputs and outputs, as numpy calls them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """Give name, shape and numpy dtype name of an input or output of an artefact."""

    name: str
    shape: tuple[Annotated[int, Range(1, 2**31)], ...]
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise unknown("dtype", self.dtype, DTYPES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """Describe an exported network on disk: ``folder/file``, and a manifest ``artifact.json`` beside it.

    ``file`` is a folder where the runtime's format is one. ``parts`` names further files that the
    runtime reads with it, such as its weights. ``extra`` holds what only its own runtime reads, as plain
    JSON values.
    """

    folder: Path
    file: str
    runtime: str
    precision: Precision
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parts: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Path of the exported file."""
        return self.folder / self.file

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that the runtime reads, in a fixed order."""
        roots = (self.path, *(self.folder / name for name in self.parts))
        # A format that is a folder holds its files at any depth.
        below = (sorted(root.rglob("*")) if root.is_dir() else [root] for root in roots)
        return tuple(path for paths in below for path in paths if not path.is_dir())

    @property
    def size_bytes(self) -> int:
        """Bytes of the exported files, without the manifest."""
        return sum(path.stat().st_size for path in self.files)

    def save(self) -> Artifact:
        """Write the manifest and return self."""
        data = asdict(self)
        # A folder that is moved stays an artefact.
        del data["folder"]
        path = self.folder / MANIFEST
        try:
            write_whole(path, (json.dumps(data, indent=1) + "\n").encode(), sync=False)
        except OSError as error:
            raise cannot_write(path, error) from error
        return self

    @classmethod
    def load(cls, folder: Path) -> Artifact:
        """Read the manifest in ``folder``.

        Raises:
            MissingFile: no manifest there. InvalidValue: it is not one of ours.
        """
        path = folder / MANIFEST
        require_file(path, f"no artefact in {folder} ({MANIFEST} is missing)")
        stored = _MANIFEST.load(_Stored, path)
        return cls(folder=folder, **{f.name: getattr(stored, f.name) for f in fields(stored)})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stored:
    """What the manifest holds: an artefact without its folder."""

    file: str
    runtime: str
    precision: Precision
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parts: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, file in (("file", self.file), *(("parts", part) for part in self.parts)):
            names = {PurePosixPath(file).name, PureWindowsPath(file).name}
            if names != {file} or file in ("", ".", ".."):
                raise InvalidValue(
                    f"the field {key!r} should be a name in the same folder, and is {file!r:.60}"
                )
        if not self.inputs or not self.outputs:
            raise InvalidValue("a network has inputs and outputs")


_MANIFEST = Kind(what="an artefact of pocketeye", remedy="export it again")


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Say what to export, whatever the runtime.

    Attributes:
        module: exported in eval mode.
        example_inputs: whose shapes become the static shapes of the artefact.
        precision: arithmetic of the artefact.
        ranges: of int8; dynamic ones suit attention, where the runtime has them.
        calibration: input tuples for static int8 quantisation; without any, the example inputs
            calibrate.
        input_names, output_names: one for every input and output.
        for_timing: the graph is timed and thrown away, so a runtime may take a faster route. That route
            names inputs and outputs itself, and calibrates with noise from ``seed`` where there is no
            calibration.
        boundary: ``quantized`` asks an int8 graph of the fast route for bytes at its ends, so that a
            block is not charged with conversions that the middle of an int8 network does not have.
        seed: of that noise.
    """

    module: nn.Module
    example_inputs: tuple[torch.Tensor, ...]
    precision: Precision = "fp32"
    ranges: Ranges = "static"
    calibration: Iterable[tuple[np.ndarray, ...]] = ()
    input_names: Sequence[str] = ("image",)
    output_names: Sequence[str] = ("logits",)
    for_timing: bool = False
    boundary: Boundary = "float"
    seed: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OpTiming:
    """Hold one operator of a profile.

    Attributes:
        name: that the runtime gives it.
        op: what it computes, in the runtime's words; of fused ones the first.
        ms: median over the runs, in milliseconds.
        input_shapes: of its inputs, weights among them.
        placement: the unit that it ran on.
        module: path of the module it came from; empty where that is not known.
    """

    name: str
    op: str
    ms: float
    input_shapes: tuple[tuple[int, ...], ...] = ()
    placement: str = "cpu"
    module: str = ""


class RemoteVisit(NamedTuple):
    """Ask for ``num`` samples of a call, each of ``inner`` calls in a row, after a warm-up of one."""

    call: RemoteCall
    inner: int
    num: int


class RemoteCall(ABC):
    """A call that runs on another device, which times it: no clock of this machine could."""

    @abstractmethod
    def __call__(self) -> None:
        """Run once, and wait for it."""

    @abstractmethod
    def take(self, visits: Sequence[RemoteVisit], done: float) -> list[list[float]]:
        """Time calls of this device in one go.

        Args:
            done: share of the whole measurement that is behind us, for the person at the device.

        Returns:
            Milliseconds of one call, for every sample of every visit.
        """

    @abstractmethod
    def calibrate(self, calls: Sequence[RemoteCall], min_sample_ms: float) -> list[int]:
        """Return how often each call is to be looped so that a sample lasts long enough."""


class Executable(ABC):
    """Run a loaded artefact. Not safe to call from two threads at once."""

    artifact: Artifact

    @abstractmethod
    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run once, on arrays as in ``artifact.inputs``.

        Raises:
            InvalidValue: wrong number, shape or dtype of arrays.
        """

    @abstractmethod
    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        """Return a call without arguments that runs once on these inputs, bound before.

        This is what gets timed: it does no copying and no checking of its own.
        """

    @abstractmethod
    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        """Return the time per operator, the median of ``runs`` runs."""


class Runtime(ABC):
    """Run networks one way: export modules, load artefacts.

    Attributes:
        runs_here: False for one that only converts on this system; :meth:`load` then refuses.
        remote: True for one whose networks run on another, connected device.
        dynamic_int8: True for one that can take the ranges of int8 from every input.
        timing: settings of the timing protocol that this runtime needs other than usual.
    """

    name: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]]
    runs_here: ClassVar[bool] = True
    remote: ClassVar[bool] = False
    dynamic_int8: ClassVar[bool] = False
    timing: ClassVar[dict[str, Any]] = {}

    def device_facts(self) -> dict[str, Any] | None:
        """Return the fields of the record's device where it is not this machine; None where it is."""
        return None

    @abstractmethod
    def version(self) -> str:
        """Return the version of the runtime that would run the artefact."""

    @abstractmethod
    def flags(self) -> dict[str, Any]:
        """Return settings that change the latency (optimisation level, layout); part of every record."""

    @abstractmethod
    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """Write what is asked for into ``folder``.

        The folder is made; a half-written artefact never replaces a whole one.

        Raises:
            InvalidValue: a precision this runtime does not have, or names that do not fit.
        """

    def share_weights(self, artifacts: Sequence[Artifact], folder: Path) -> bool:
        """Store weights that several artefacts have in common once, where the runtime can.

        Args:
            artifacts: in ``folder`` itself or in folders directly below it; their manifests are
                written anew.
            folder: where the common file goes.

        Returns:
            Whether there is such a file; without it each artefact keeps its own.
        """
        return False

    @abstractmethod
    def load(self, artifact: Artifact, *, threads: int = 1) -> Executable:
        """Open an artefact with a fixed number of threads."""

    def require_here(self, what: str) -> None:
        """Check that networks can be run here, for ``what`` ("a latency table") is impossible without.

        Raises:
            InvalidValue: they cannot.
        """
        if not self.runs_here:
            raise InvalidValue(
                f"{what} needs a runtime that runs on this machine, and {self.name!r} only converts "
                "here: name another runtime"
            )
