"""What a runtime is: it exports a module to an artefact, loads it, runs it, times and profiles it."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.runs import MANIFEST

Precision = Literal["fp32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """Name, shape and numpy dtype name of an input or output of an artefact."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """An exported network on disk: ``folder/file`` and a manifest ``artifact.json`` beside it."""

    folder: Path
    file: str
    runtime: str
    precision: Precision
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / self.file

    @property
    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def save(self) -> Artifact:
        """Write the manifest; returns self."""
        data = asdict(self)
        del data["folder"]
        (self.folder / MANIFEST).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        return self

    @classmethod
    def load(cls, folder: Path) -> Artifact:
        """Read the manifest in ``folder``.

        Raises:
            MissingFile: no manifest there. InvalidValue: it is not one of ours.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise MissingFile(f"no artefact in {folder} ({MANIFEST} is missing)")
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            for key in ("inputs", "outputs"):
                data[key] = tuple(
                    TensorSpec(**{**row, "shape": tuple(row["shape"])}) for row in data[key]
                )
            return cls(folder=folder, **data)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise InvalidValue(f"{path} is not an artefact of pocketeye: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Latency of one call in milliseconds: wall percentiles, and CPU time of the calling thread.

    ``inner`` calls were looped in every one of the ``n`` samples.
    """

    n: int
    inner: int
    p10_ms: float
    p50_ms: float
    p90_ms: float
    cpu_p50_ms: float

    @classmethod
    def of(cls, wall_ms: Sequence[float], cpu_ms: Sequence[float], inner: int) -> Timing:
        """Summarise samples that are already divided by ``inner``."""
        p10, p50, p90 = np.percentile(np.asarray(wall_ms), (10, 50, 90))
        return cls(
            n=len(wall_ms),
            inner=inner,
            p10_ms=float(p10),
            p50_ms=float(p50),
            p90_ms=float(p90),
            cpu_p50_ms=float(np.median(np.asarray(cpu_ms))),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OpTiming:
    """One operator of a profile: mean time per call in milliseconds."""

    name: str
    op: str
    ms: float
    input_shapes: tuple[tuple[int, ...], ...] = ()
    placement: str = "cpu"


class Executable(ABC):
    """A loaded artefact. Not safe to call from two threads at once."""

    artifact: Artifact

    @abstractmethod
    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run once. Arrays as in ``artifact.inputs``.

        Raises:
            InvalidValue: wrong number, shape or dtype of arrays.
        """

    @abstractmethod
    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        """A call without arguments that runs once on these inputs, input and output bound before.

        This is what gets timed: it does no copying and no checking of its own.
        """

    @abstractmethod
    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        """Time per operator, mean over ``runs`` runs."""

    def time(self, *arrays: np.ndarray, samples: int = 30, min_sample_ms: float = 1.0) -> Timing:
        """Warm latency of one network alone: ``samples`` samples of at least ``min_sample_ms``.

        Comparing several networks needs the interleaved protocol in ``pocketeye.latency``.
        """
        call = self.bind(*arrays)
        inner = calibrate_inner(call, min_sample_ms)
        wall, cpu = [], []
        for _ in range(samples):
            wall_ms, cpu_ms = sample(call, inner)
            wall.append(wall_ms)
            cpu.append(cpu_ms)
        return Timing.of(wall, cpu, inner)


def sample(call: Callable[[], None], inner: int) -> tuple[float, float]:
    """Wall and thread-CPU milliseconds per call over ``inner`` back-to-back calls."""
    cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
    for _ in range(inner):
        call()
    wall, cpu = time.perf_counter_ns() - wall, time.thread_time_ns() - cpu
    return wall / inner / 1e6, cpu / inner / 1e6


def calibrate_inner(call: Callable[[], None], min_sample_ms: float) -> int:
    """Warm up, then find how many calls make a sample last at least ``min_sample_ms``."""
    inner = 1
    for _ in range(3):
        call()
    while True:
        wall_ms, _ = sample(call, inner)
        if wall_ms * inner >= min_sample_ms:
            return inner
        inner = max(inner + 1, int(inner * 1.2 * min_sample_ms / max(wall_ms * inner, 1e-3)))
        inner = min(inner, 1_000_000)


class Runtime(ABC):
    """Exports modules and loads artefacts of one runtime. Strings are parsed at the edge only."""

    name: ClassVar[str]
    precisions: ClassVar[tuple[Precision, ...]]

    @abstractmethod
    def version(self) -> str:
        """Version of the runtime that would run the artefact."""

    @abstractmethod
    def flags(self) -> dict[str, Any]:
        """Settings that change the latency (optimisation level, layout); part of every record."""

    @abstractmethod
    def export(
        self,
        module: nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        folder: Path,
        *,
        precision: Precision = "fp32",
        calibration: Iterable[tuple[np.ndarray, ...]] = (),
        input_names: Sequence[str] = ("image",),
        output_names: Sequence[str] = ("logits",),
    ) -> Artifact:
        """Write ``module`` (eval mode, static shapes of ``example_inputs``) into ``folder``.

        ``calibration`` yields input tuples for static int8 quantisation; without any, the example
        inputs calibrate. The folder is made; a half-written artefact never replaces a whole one.

        Raises:
            InvalidValue: a precision this runtime does not have.
        """

    @abstractmethod
    def load(self, artifact: Artifact, *, threads: int = 1) -> Executable:
        """Open an artefact with a fixed number of threads."""
