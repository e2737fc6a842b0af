"""Open a network of LiteRT: to be called and bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module, metadata
from types import SimpleNamespace
from typing import Any

import numpy as np

from pocketeye.errors import InvalidValue
from pocketeye.quiet import quiet
from pocketeye.runtimes._denormals import denormals, flush_denormals, flushes_denormals
from pocketeye.runtimes._store import check_arrays, check_stored, check_threads
from pocketeye.runtimes.base import Artifact, Executable, OpTiming

with quiet(native=True):
    _interpreter: Any = import_module("ai_edge_litert.interpreter")

_OF_THIS = SimpleNamespace(name="litert")


def load(artifact: Artifact, *, threads: int = 1) -> LiteRTExecutable:
    """Open an artefact; see :meth:`Runtime.load`. What only an export needs is not imported."""
    check_threads(threads)
    check_stored(artifact, _OF_THIS)
    return LiteRTExecutable(artifact, threads)


class LiteRTExecutable(Executable):
    """Run a network with a fixed number of threads."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.artifact, self.threads = artifact, threads
        self._network = self._open()
        (signature,) = self._network._get_full_signature_list().values()
        self._inputs = _in_order(signature["inputs"])
        self._outputs = _in_order(signature["outputs"])

    def _open(self) -> Any:
        path = self.artifact.path
        try:
            with quiet(native=True):
                network = _interpreter.Interpreter(
                    # Not by its path: the file would stay mapped, and a changed file end the process.
                    model_content=path.read_bytes(),
                    num_threads=self.threads,
                )
                network.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            version = metadata.version("ai-edge-litert")
            raise InvalidValue(
                f"LiteRT {version} cannot open {path} ({reason:.200}): export it again"
            ) from error
        return network

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        check_arrays(self.artifact.inputs, arrays)
        self._set(self._network, arrays)
        with denormals(as_zero=True):
            self._network.invoke()
        # The converter narrows 64 bits to 32: what leaves is what the module gives.
        return tuple(
            self._network.get_tensor(index).astype(spec.dtype, copy=False)
            for index, spec in zip(self._outputs, self.artifact.outputs, strict=True)
        )

    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        check_arrays(self.artifact.inputs, arrays)
        # Of its own, so that other calls do not change what is bound.
        network = self._open()
        self._set(network, arrays)
        run, flushed = network.invoke, flushes_denormals()

        def call() -> None:
            # By hand and not by denormals(): its generator would be timed with every call.
            flush_denormals(True)
            try:
                run()
            finally:
                flush_denormals(flushed)

        return call

    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        """Refuse: LiteRT tells the time of operators only to its own program in C++.

        Raises:
            InvalidValue: always; the sentence names that program.
        """
        check_arrays(self.artifact.inputs, arrays)
        raise InvalidValue(
            "LiteRT does not tell the time of single operators in Python: run its own benchmark_model "
            f"--graph={self.artifact.path} --enable_op_profiling=true, or profile another runtime"
        )

    def _set(self, network: Any, arrays: tuple[np.ndarray, ...]) -> None:
        details = {one["index"]: one["dtype"] for one in network.get_input_details()}
        for index, array in zip(self._inputs, arrays, strict=True):
            network.set_tensor(index, np.asarray(array, dtype=details[index]))


def _in_order(indices: Mapping[str, int]) -> list[int]:
    """Return tensors in the order of the module's arguments: ``args_10`` comes after ``args_9``."""
    return [indices[name] for name in sorted(indices, key=lambda name: (len(name), name))]
