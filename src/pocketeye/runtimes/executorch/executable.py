"""Open a program of ExecuTorch: to be called, bound and profiled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from typing import Any

import numpy as np
import torch

from pocketeye.errors import InvalidValue
from pocketeye.outputs import scratch_folder
from pocketeye.quiet import quiet
from pocketeye.runtimes._denormals import denormals, flushes_denormals
from pocketeye.runtimes._store import check_arrays
from pocketeye.runtimes.base import Artifact, Executable, OpTiming

# The first runs allocate and fill caches; they are in no mean.
_WARM_UP = 3
_METHOD = "forward"
# Rows of a profile that enclose others, which have the same time once more.
_AROUND = ("Method::", "Program::", "DELEGATE_CALL", "OPERATOR_CALL")
_KERNEL = "native_call_"

with quiet(native=True):
    _runtime: Any = import_module("executorch.runtime")
    _pool: Any = import_module("executorch.extension.pybindings._C")


def kernel_names() -> set[str]:
    """Return the operators outside of XNNPACK that this ExecuTorch has kernels for."""
    return set(_runtime.Runtime.get().operator_registry.operator_names)


class _Threads:
    """The pool of threads that all programs of the process share.

    A program keeps the pool that there was when it was loaded; after a change it must be loaded again.
    """

    number = 0
    generation = 0

    @classmethod
    def set(cls, number: int) -> None:
        if cls.number != number:
            with quiet(native=True):
                _pool._unsafe_reset_threadpool(number)
            cls.number = number
            cls.generation += 1


class ExecuTorchExecutable(Executable):
    """Run a program with a fixed number of threads."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.artifact, self.threads = artifact, threads
        self._load()

    def _load(self) -> None:
        self._program, self._method = self._open()
        self._generation = _Threads.generation

    def _open(self, **options: Any) -> tuple[Any, Any]:
        """Return program and method; the method lives only as long as the program."""
        _Threads.set(self.threads)
        path = self.artifact.path
        try:
            with quiet(native=True):
                program = _runtime.Runtime.get().load_program(path, **options)
                return program, program.load_method(_METHOD)
        except (RuntimeError, KeyError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            version = metadata.version("executorch")
            raise InvalidValue(
                f"ExecuTorch {version} cannot open {path} ({reason:.200}): export it again"
            ) from error

    def _ready(self) -> Any:
        if self._generation != _Threads.generation or _Threads.number != self.threads:
            self._load()
        return self._method

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        tensors = self._tensors(arrays)
        method = self._ready()
        with denormals(as_zero=True):
            outputs = method.execute(tensors)
        # Copies: the program writes its next answers over these.
        return tuple(t.numpy().copy() for t in outputs)

    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        tensors = self._tensors(arrays)
        flushed = flushes_denormals()

        def call() -> None:
            run = self._ready()._method
            # By hand and not by denormals(): its generator would be timed with every call.
            torch.set_flush_denormal(True)
            try:
                # Not cloned: an answer that nobody reads.
                run(tensors, clone_outputs=False)
            finally:
                torch.set_flush_denormal(flushed)

        return call

    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        """See :class:`Executable`. Operators inside of XNNPACK too, under its own names; no shapes."""
        tensors = self._tensors(arrays)
        if runs < 1:
            raise InvalidValue(f"runs must be at least 1, got {runs}")
        # No buffer for intermediate values: one that is too small ends the process.
        program, method = self._open(enable_etdump=True, debug_buffer_size=0)
        with denormals(as_zero=True):
            for _ in range(_WARM_UP + runs):
                method.execute(tensors)
        with scratch_folder() as scratch, quiet(native=True):
            dump = scratch / "profile.etdp"
            program.write_etdump_result_to_file(str(dump), "")
            inspector = import_module("executorch.devtools").Inspector(etdump_path=str(dump))
            return _op_timings(inspector, runs)

    def _tensors(self, arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
        check_arrays(self.artifact.inputs, arrays)
        # A copy: numpy's memory may be read-only, or change under a bound call.
        return [torch.from_numpy(np.array(array, order="C")) for array in arrays]


def _op_timings(inspector: Any, runs: int) -> list[OpTiming]:
    timings: list[OpTiming] = []
    seen: dict[str, int] = defaultdict(int)
    for block in inspector.event_blocks:
        for event in block.events:
            name = str(event.name)
            if event.perf_data is None or name.startswith(_AROUND):
                continue
            seen[name] += 1
            # XNNPACK numbers operators of a kind anew in each of its parts of the network.
            number = f" ({seen[name]})" if seen[name] > 1 else ""
            timings.append(
                OpTiming(
                    name=f"{name}{number}",
                    op=name.removeprefix(_KERNEL).split(" #")[0],
                    # Milliseconds of every run; the first ones warm caches up.
                    ms=float(np.median(event.perf_data.raw[-runs:])),
                    placement="portable" if name.startswith(_KERNEL) else "xnnpack",
                )
            )
    return timings
