"""Run networks by PyTorch itself: torch.export to a ``.pt2`` file, run eagerly on the CPU, in fp32.

This is what a network costs without any deployment runtime; it also serves where ONNX cannot go.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import fx

from pocketeye.errors import InvalidValue
from pocketeye.runtimes._denormals import denormals
from pocketeye.runtimes._operators import layer_of_node
from pocketeye.runtimes._store import (
    check_arrays,
    check_precision,
    check_stored,
    check_threads,
    eval_mode,
    run_module,
    store,
    tensor_specs,
)
from pocketeye.runtimes.base import (
    Artifact,
    Executable,
    ExportRequest,
    OpTiming,
    Precision,
    Runtime,
)
from pocketeye.runtimes.torch.pt2 import load_pt2, save_pt2

FILE = "model.pt2"
# The first runs allocate and fill caches; they are in no mean.
_WARM_UP = 3


class TorchRuntime(Runtime):
    """Export to ``model.pt2`` and run it eagerly, by PyTorch itself."""

    name: ClassVar[str] = "torch"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)

    def version(self) -> str:
        return str(torch.__version__)

    def flags(self) -> dict[str, Any]:
        return {
            "mode": "eager",
            # Part of each record: channels_last has other latencies.
            "memory_format": "contiguous",
            "denormals_as_zero": True,
            "mkldnn": bool(torch.backends.mkldnn.is_available()),
        }

    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """See :class:`Runtime`; there is one route, and ``calibration`` has no use in fp32."""
        check_precision(self, request.precision)
        module, example_inputs = request.module, request.example_inputs
        with eval_mode(module):
            outputs = tensor_specs(request.output_names, run_module(module, example_inputs))
            with torch.no_grad(), warnings.catch_warnings():
                # Deprecations inside torch.export are not the user's business.
                warnings.simplefilter("ignore")
                program = torch.export.export(module, example_inputs)
        artifact = Artifact(
            folder=folder,
            file=FILE,
            runtime=self.name,
            precision=request.precision,
            inputs=tensor_specs(request.input_names, example_inputs),
            outputs=outputs,
        )
        return store(artifact, lambda path: save_pt2(program, path))

    def load(self, artifact: Artifact, *, threads: int = 1) -> TorchExecutable:
        """See :class:`Runtime`.

        Raises:
            MissingFile: the file is gone. InvalidValue: it is damaged, or threads below 1.
        """
        check_threads(threads)
        check_stored(artifact, self)
        return TorchExecutable(artifact, load_pt2(artifact.path), threads)


class TorchExecutable(Executable):
    """Run an exported program under inference mode.

    The number of threads and the treatment of denormals are global in torch; every call sets them
    and puts the old values back, which costs two microseconds.
    """

    def __init__(self, artifact: Artifact, module: fx.GraphModule, threads: int) -> None:
        self.artifact, self.threads = artifact, threads
        self._module = module

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        tensors = self._tensors(arrays)
        with _settings(self.threads):
            return tuple(t.numpy() for t in run_module(self._module, tensors))

    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        tensors, module, threads = self._tensors(arrays), self._module, self.threads

        def call() -> None:
            with _settings(threads), torch.inference_mode():
                module(*tensors)

        return call

    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        """See :class:`Executable`: the nodes of the exported graph, timed one by one.

        Not torch.profiler, which writes to the standard error and looks for GPUs.
        """
        if runs < 1:
            raise InvalidValue(f"runs must be at least 1, got {runs}")
        tensors, stopwatch = self._tensors(arrays), _Stopwatch(self._module)
        with _settings(self.threads), torch.inference_mode():
            for _ in range(_WARM_UP):
                stopwatch.run(*tensors)
            # What the warm-up took is thrown away.
            stopwatch.ms.clear()
            for _ in range(runs):
                stopwatch.run(*tensors)
        return [
            replace(timing, ms=statistics.median(stopwatch.ms[name]))
            for name, timing in stopwatch.timings.items()
        ]

    def _tensors(self, arrays: Sequence[np.ndarray]) -> list[torch.Tensor]:
        check_arrays(self.artifact.inputs, arrays)
        # A copy: numpy's memory may be read-only, or change under a bound call.
        return [torch.from_numpy(array.copy()) for array in arrays]


class _Stopwatch(fx.Interpreter):
    """Run a graph node by node and time every operator."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.timings: dict[str, OpTiming] = {}
        self.ms: dict[str, list[float]] = defaultdict(list)

    def run_node(self, n: fx.Node) -> Any:
        # Placeholders and outputs compute nothing.
        if n.op != "call_function":
            return super().run_node(n)
        start = time.perf_counter_ns()
        result = super().run_node(n)
        ms = (time.perf_counter_ns() - start) / 1e6
        self.ms[n.name].append(ms)
        if n.name not in self.timings:
            values = [self.env.get(i) for i in n.all_input_nodes]
            shapes = tuple(tuple(v.shape) for v in values if isinstance(v, torch.Tensor))
            self.timings[n.name] = OpTiming(
                name=n.name,
                op=str(n.target),
                ms=0.0,
                input_shapes=shapes,
                module=layer_of_node(n) or "",
            )
        return result


@contextmanager
def _settings(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if before != threads:
        torch.set_num_threads(threads)
    try:
        with denormals(as_zero=True):
            yield
    finally:
        if before != threads:
            torch.set_num_threads(before)
