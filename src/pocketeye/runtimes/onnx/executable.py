"""Open a session of ONNX Runtime: to be called, bound and profiled."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from pocketeye.errors import InvalidValue
from pocketeye.outputs import scratch_folder
from pocketeye.runtimes._denormals import denormals, flush_denormals, flushes_denormals
from pocketeye.runtimes._store import check_arrays, check_stored, check_threads
from pocketeye.runtimes.base import Artifact, Executable, OpTiming
from pocketeye.runtimes.onnx.shared import SHARED, shared_weights

if TYPE_CHECKING:
    from pocketeye.runtimes.onnx.scopes import NodeModules

NAME, PROVIDER = "onnxruntime", "CPUExecutionProvider"
_OF_THIS = SimpleNamespace(name=NAME)
_UNREADABLE = (state.Fail, state.InvalidGraph, state.InvalidProtobuf, state.InvalidArgument,
               state.NotImplemented, state.RuntimeException)  # fmt: skip
_KERNEL = "_kernel_time"
# The first runs allocate and fill caches; they are in no mean.
_WARM_UP = 3


def session_flags() -> dict[str, Any]:
    """Return the settings of :func:`open_session`, as they are written into records."""
    return {
        "provider": PROVIDER,
        "graph_optimization_level": "ORT_ENABLE_ALL",
        "execution_mode": "sequential",
        "inter_op_threads": 1,
        "denormals_as_zero": True,
        "spinning": False,
    }


def open_session(
    path: Path,
    threads: int,
    profile_prefix: Path | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    common_memory: bool = False,
) -> Any:
    """Open a session with ``threads`` threads inside operators, none between them.

    Args:
        path: of the graph.
        threads: inside operators.
        profile_prefix: where a profile is written; without it there is none.
        weights: constants of the graph that lie in another file; they must outlive the session.
        common_memory: take working memory from what all such sessions share, for graphs that run one
            after another; a few percent slower.

    Raises:
        InvalidValue: the file is not an ONNX model this version of ONNX Runtime can run.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Random weights decay into denormals, which would be timed as slow arithmetic.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # A thread that spins while it waits keeps a core busy for nothing.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # fatal only: what matters comes as an exception
    if common_memory:
        _common_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        # A pattern is a block of its own for each session, beside what its first run took.
        options.enable_mem_pattern = False
    if weights:
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
    if profile_prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_prefix)
    try:
        # ONNX Runtime switches the calling thread over as well, for good.
        with denormals(as_zero=None):
            return ort.InferenceSession(str(path), options, providers=[PROVIDER])
    except _UNREADABLE as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidValue(
            f"ONNX Runtime {ort.__version__} cannot open {path} ({reason}): export it again"
        ) from error


@functools.cache
def _common_arena() -> None:
    """Make the working memory that sessions may share, once for the process.

    The graphs of EfficientTAM-Ti take 400 MB with it and 750 MB with one arena for each.
    """
    # Blocks of the size that is asked for: by default the arena doubles. -1 is "as usual", 0 no limit.
    settings = {
        "max_mem": 0, "arena_extend_strategy": 1, "initial_chunk_size_bytes": -1,
        "max_dead_bytes_per_chunk": -1,
    }  # fmt: skip
    memory = ort.OrtMemoryInfo(
        "Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT
    )
    ort.create_and_register_allocator(memory, ort.OrtArenaCfg(settings))


def load(artifact: Artifact, *, threads: int = 1) -> OrtExecutable:
    """Open an artefact; see :meth:`Runtime.load`. What only an export needs is not imported."""
    check_threads(threads)
    check_stored(artifact, _OF_THIS)
    return OrtExecutable(artifact, threads)


class OrtExecutable(Executable):
    """Run an ONNX file opened with a fixed number of threads."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.artifact, self.threads = artifact, threads
        shared = artifact.extra.get(SHARED)
        self._weights = shared_weights(artifact.folder, shared) if shared else None
        # Weights in common are those of a tracker's graphs, which run one after another.
        self._session = open_session(
            artifact.path, threads, weights=self._weights, common_memory=shared is not None
        )
        self._names = [spec.name for spec in artifact.inputs]

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        check_arrays(self.artifact.inputs, arrays)
        with denormals(as_zero=True):
            return tuple(self._session.run(None, dict(zip(self._names, arrays, strict=True))))

    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        check_arrays(self.artifact.inputs, arrays)
        return self._bind(self._session, arrays)

    def _bind(self, session: Any, arrays: tuple[np.ndarray, ...]) -> Callable[[], None]:
        binding = session.io_binding()
        for spec, array in zip(self.artifact.inputs, arrays, strict=True):
            # A copy: the caller may change its array, and the bound call must not.
            binding.bind_ortvalue_input(spec.name, ort.OrtValue.ortvalue_from_numpy(array.copy()))
        for spec in self.artifact.outputs:
            value = ort.OrtValue.ortvalue_from_shape_and_type(
                list(spec.shape), np.dtype(spec.dtype).type
            )
            binding.bind_ortvalue_output(spec.name, value)
        run, flushed = session.run_with_iobinding, flushes_denormals()

        def call() -> None:
            # By hand and not by denormals(): its generator would be timed with every call.
            flush_denormals(True)
            try:
                run(binding)
            finally:
                flush_denormals(flushed)

        return call

    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        """See :class:`Executable`. Operators are those after fusion, in execution order."""
        check_arrays(self.artifact.inputs, arrays)
        if runs < 1:
            raise InvalidValue(f"runs must be at least 1, got {runs}")
        with scratch_folder() as scratch:
            session = open_session(
                self.artifact.path, self.threads, scratch / "profile", self._weights
            )
            call = self._bind(session, arrays)
            for _ in range(_WARM_UP + runs):
                call()
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        # Only here: whoever merely runs a graph starts sooner without.
        import onnx

        from pocketeye.runtimes.onnx.scopes import NodeModules

        modules = NodeModules(onnx.load(self.artifact.path, load_external_data=False))
        return _op_timings(events, runs, modules)


def _op_timings(events: list[dict[str, Any]], runs: int, modules: NodeModules) -> list[OpTiming]:
    nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        # Other events of a node are not the time of its kernel.
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            nodes[event["name"].removesuffix(_KERNEL)].append(event)
    timings = []
    for name, rows in nodes.items():
        args = rows[-1]["args"]
        shapes = (tuple(shape) for entry in args["input_type_shape"] for shape in entry.values())
        timings.append(
            OpTiming(
                name=name,
                op=args["op_name"],
                # The first runs warm caches up and are left out; durations are in microseconds.
                # The median: one run in which another process had the core is no mean's business.
                ms=float(np.median([row["dur"] for row in rows[-runs:]])) / 1e3,
                input_shapes=tuple(shapes),
                module=modules.of(name, args["op_name"]),
            )
        )
    return timings
