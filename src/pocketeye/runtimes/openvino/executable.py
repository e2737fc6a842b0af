"""Compile an IR of OpenVINO for the CPU: to be called, bound and profiled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import openvino as ov

from pocketeye.errors import InvalidValue
from pocketeye.runtimes._denormals import denormals, flush_denormals, flushes_denormals
from pocketeye.runtimes._store import check_arrays, check_stored, check_threads
from pocketeye.runtimes.base import Artifact, Executable, OpTiming

# The first runs allocate and fill caches; they are in no mean.
_WARM_UP = 3
_DONE = "EXECUTED"
_OF_THIS = SimpleNamespace(name="openvino")
MODULES = "modules"  # in the manifest: of every operator, the module that it came from


def config() -> dict[str, Any]:
    """Return the settings of a compiled network, as they are written into records."""
    return {
        # bfloat16 would be the default where the processor has it.
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": 1,
        # A container may give a process cores that OpenVINO would not choose.
        "ENABLE_CPU_PINNING": False,
        # Random weights decay into denormals, which would be timed as slow arithmetic.
        "CPU_DENORMALS_OPTIMIZATION": True,
    }


def load(artifact: Artifact, *, threads: int = 1) -> OpenVinoExecutable:
    """Open an artefact; see :meth:`Runtime.load`. What only an export needs is not imported."""
    check_threads(threads)
    check_stored(artifact, _OF_THIS)
    return OpenVinoExecutable(artifact, threads)


class OpenVinoExecutable(Executable):
    """Run a network compiled with a fixed number of threads."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.artifact, self.threads = artifact, threads
        self._network = self._compile()
        self._request = self._network.create_infer_request()

    def _compile(self, **more: Any) -> ov.CompiledModel:
        settings = {**config(), "INFERENCE_NUM_THREADS": self.threads, **more}
        core, path = ov.Core(), self.artifact.path
        try:
            # OpenVINO may switch the treatment of denormals of the calling thread.
            with denormals(as_zero=None):
                return core.compile_model(core.read_model(path), "CPU", settings)
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise InvalidValue(
                f"OpenVINO {ov.__version__} cannot open {path} ({reason:.200}): export it again"
            ) from error

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        check_arrays(self.artifact.inputs, arrays)
        with denormals(as_zero=True):
            results = self._request.infer(dict(enumerate(arrays)))
        # Copies: the request writes its next answers over these.
        return tuple(np.array(results[number]) for number in range(len(results)))

    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        check_arrays(self.artifact.inputs, arrays)
        return self._bind(self._network.create_infer_request(), arrays)

    def _bind(self, request: ov.InferRequest, arrays: tuple[np.ndarray, ...]) -> Callable[[], None]:
        # Copies: the caller may change its arrays, and the bound call must not.
        tensors = [ov.Tensor(np.array(array, order="C")) for array in arrays]
        for number, tensor in enumerate(tensors):
            request.set_input_tensor(number, tensor)
        nothing: dict[int, Any] = {}
        # The method below InferRequest.infer: that one looks at the inputs again and wraps the outputs.
        infer = super(ov.InferRequest, request).infer  # type: ignore[misc]
        flushed = flushes_denormals()

        def call() -> None:
            # By hand and not by denormals(): its generator would be timed with every call.
            flush_denormals(True)
            try:
                infer(nothing, share_outputs=True, decode_strings=False)
            finally:
                flush_denormals(flushed)

        return call

    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        """See :class:`Executable`. Operators are those after fusion, in execution order."""
        check_arrays(self.artifact.inputs, arrays)
        if runs < 1:
            raise InvalidValue(f"runs must be at least 1, got {runs}")
        network = self._compile(PERF_COUNT=True)
        request = network.create_infer_request()
        call = self._bind(request, arrays)
        for _ in range(_WARM_UP):
            call()
        times: dict[str, list[float]] = defaultdict(list)
        kinds: dict[str, str] = {}
        for _ in range(runs):
            call()
            for row in request.profiling_info:
                # Nodes that were fused into others, and constants, are listed without time.
                if row.status.name == _DONE:
                    times[row.node_name].append(row.real_time.total_seconds() * 1e3)
                    kinds[row.node_name] = row.node_type
        shapes, modules = _input_shapes(network), self.artifact.extra.get(MODULES, {})
        return [
            OpTiming(
                name=name,
                op=kinds[name],
                # The median: one run in which another process had the core is no mean's business.
                ms=float(np.median(ms)),
                input_shapes=shapes.get(name, ()),
                module=str(modules.get(name, "")),
            )
            for name, ms in times.items()
        ]


def _input_shapes(network: ov.CompiledModel) -> dict[str, tuple[tuple[int, ...], ...]]:
    return {
        node.get_friendly_name(): tuple(tuple(port.get_shape()) for port in node.inputs())
        for node in network.get_runtime_model().get_ordered_ops()
    }
