"""Time and run networks in a browser: ONNX Runtime Web on the device that has opened our page.

The server starts when a device is first needed, and waits for it. It listens on this machine alone
unless the variable :data:`HOST_VARIABLE` names another address. Times are those of the browser: a table
made with them holds for this device, browser, backend and number of threads, and for no native app.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pocketeye import progress
from pocketeye.errors import InvalidValue
from pocketeye.runtimes._store import check_arrays, check_stored, check_threads
from pocketeye.runtimes.base import (
    Artifact,
    Executable,
    ExportRequest,
    OpTiming,
    Precision,
    RemoteCall,
    RemoteVisit,
    Runtime,
)
from pocketeye.runtimes.browser.assets import ort_version
from pocketeye.runtimes.browser.hub import Hub
from pocketeye.runtimes.browser.messages import Facts, Job
from pocketeye.runtimes.onnx.onnxruntime import OnnxRuntime

HOST_VARIABLE, PORT_VARIABLE = "POCKETEYE_WEB_HOST", "POCKETEYE_WEB_PORT"
# The name of the device to measure, where several have the page open.
DEVICE_VARIABLE = "POCKETEYE_WEB_DEVICE"
_CALIBRATED_AT_ONCE = 25  # graphs of one job: seconds of work, so that the bar on the page moves


class _Connection:
    """Hold the one server of this process."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self.served: Any = None

    def open(self) -> Hub:
        """Return the hub, with its server running.

        Raises:
            MissingFile: ONNX Runtime Web was not fetched. InvalidValue: no such address, or it is taken.
        """
        if self.hub is None:
            # Late: exporting for a browser needs no server.
            from pocketeye.runtimes.browser.app import measuring_app
            from pocketeye.serving.server import (
                LOOPBACK,
                PORT,
                Served,
                is_loopback,
                qr_lines,
            )

            host = os.environ.get(HOST_VARIABLE) or LOOPBACK
            hub = Hub(wanted=(os.environ.get(DEVICE_VARIABLE) or "").strip())
            self.served = Served(measuring_app(hub), host, _port(PORT))
            hub.url = self.served.url
            if not is_loopback(host):
                progress.say("\n".join(qr_lines(hub.url)))
            self.hub = hub
        return self.hub

    def close(self) -> None:
        """Stop the server, where it runs."""
        if self.served is not None:
            self.served.close()
        self.hub = self.served = None


def _port(default: int) -> int:
    text = os.environ.get(PORT_VARIABLE) or str(default)
    if not text.isdecimal():
        raise InvalidValue(f"{PORT_VARIABLE} is a number, got {text!r:.40}")
    return int(text)


CONNECTION = _Connection()


class BrowserRuntime(Runtime):
    """Run ONNX graphs in WebAssembly, in the browser of a connected device."""

    name: ClassVar[str] = "browser"
    backend: ClassVar[str] = "wasm"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "int8")
    remote: ClassVar[bool] = True
    # Fewer and longer visits than on this machine: every visit may open its graph anew, and the clock
    # of a page is coarse (5 us where it is isolated, 100 us or 1 ms elsewhere).
    timing: ClassVar[dict[str, Any]] = {
        "rounds": 8, "samples": 5, "min_sample_ms": 8.0, "extra_rounds": 4,
    }  # fmt: skip

    def version(self) -> str:
        return ort_version()

    def flags(self) -> dict[str, Any]:
        return {"backend": self.backend, "graph_optimization_level": "all", **_told()}

    def device_facts(self) -> dict[str, Any]:
        """Return the fields of the record's device; waits for one to connect.

        Raises:
            UserError: none came.
        """
        facts = CONNECTION.open().device()
        called = f"{facts.name}, " if facts.name else ""
        return {
            "cpu": f"{called}{facts.browser} on {facts.system or 'an unknown system'}",
            "cpus": facts.cores,
            "os": facts.system or "unknown",
            "machine": f"{self.backend}{_gpu(facts) if self.backend == 'webgpu' else ''}",
        }

    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """See :class:`~pocketeye.runtimes.onnx.onnxruntime.OnnxRuntime`: browsers run the same file."""
        artifact = OnnxRuntime().export(request, folder)
        return replace(artifact, runtime=self.name).save()

    def load(self, artifact: Artifact, *, threads: int = 1) -> BrowserExecutable:
        """Offer an artefact to the connected device.

        Raises:
            MissingFile, InvalidValue: as :meth:`Runtime.load`; threads that the page cannot have.
            UserError: no device came.
        """
        check_threads(threads)
        check_stored(artifact, self)
        hub = CONNECTION.open()
        facts = hub.device()
        if self.backend == "wasm" and threads > 1 and not facts.isolated:
            raise InvalidValue(
                f"{threads} threads need a page that is isolated, which browsers allow on localhost and "
                "https alone: use --threads 1, or reach this server as localhost (on Android by "
                f"`adb reverse tcp:{_port(8765)} tcp:{_port(8765)}`)"
            )
        if threads > facts.cores:
            raise InvalidValue(
                f"the device has {facts.cores} cores: --threads must be at most that, got {threads}"
            )
        if self.backend == "webgpu" and not facts.gpu:
            raise InvalidValue(
                "the browser has no WebGPU adapter: use --runtime browser, which computes in WASM"
            )
        return BrowserExecutable(artifact, hub, self.backend, threads)


class BrowserWebGpu(BrowserRuntime):
    """Run ONNX graphs by WebGPU, in the browser of a connected device."""

    name: ClassVar[str] = "browser-webgpu"
    backend: ClassVar[str] = "webgpu"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)


class BrowserExecutable(Executable):
    """Run one graph in the page."""

    def __init__(self, artifact: Artifact, hub: Hub, backend: str, threads: int) -> None:
        self.artifact, self.hub = artifact, hub
        self.backend, self.threads = backend, threads
        self.number = hub.add(artifact)

    def __call__(self, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        check_arrays(self.artifact.inputs, arrays)
        answer: tuple[np.ndarray, ...] = self.hub.ask(
            self.job("run", arrays=arrays, outputs=self.artifact.outputs)
        )
        return answer

    def bind(self, *arrays: np.ndarray) -> Callable[[], None]:
        """See :class:`Executable`; long inputs repeat their first values, which changes no latency."""
        check_arrays(self.artifact.inputs, arrays)
        self.hub.set_inputs(self.number, arrays)
        return _BrowserCall(self)

    def profile(self, *arrays: np.ndarray, runs: int = 20) -> list[OpTiming]:
        raise InvalidValue(
            "operators are not timed in a browser yet: profile with --runtimes onnxruntime, whose graph "
            "is the same"
        )

    def job(self, kind: str, graphs: Sequence[int] = (), **more: Any) -> Job:
        """Make a job for the page that runs this graph, or others beside it."""
        return Job(
            number=self.hub.next_job(),
            kind=kind,
            backend=self.backend,
            threads=self.threads,
            graphs=tuple(graphs) or (self.number,),
            **more,
        )


class _BrowserCall(RemoteCall):
    """Time a graph where it runs."""

    def __init__(self, executable: BrowserExecutable) -> None:
        self.executable = executable

    def __call__(self) -> None:
        self.take([RemoteVisit(self, 1, 1)], 0.0)

    def take(self, visits: Sequence[RemoteVisit], done: float) -> list[list[float]]:
        found: list[list[float]] = self._ask("time", visits, done, 0.0)
        return found

    def calibrate(self, calls: Sequence[RemoteCall], min_sample_ms: float) -> list[int]:
        found: list[int] = []
        for start in range(0, len(calls), _CALIBRATED_AT_ONCE):
            some = calls[start : start + _CALIBRATED_AT_ONCE]
            visits = [RemoteVisit(call, 1, 1) for call in some]
            found += self._ask("calibrate", visits, 0.0, min_sample_ms)
        return found

    def _ask(self, kind: str, visits: Sequence[RemoteVisit], done: float, ms: float) -> Any:
        rows = []
        for visit in visits:
            assert isinstance(visit.call, _BrowserCall)
            rows.append((visit.call.executable.number, visit.inner, visit.num))
        graphs = list(dict.fromkeys(number for number, _, _ in rows))
        job = self.executable.job(kind, graphs, visits=tuple(rows), done=done, min_sample_ms=ms)
        return self.executable.hub.ask(job)


def _told() -> dict[str, Any]:
    """Return what of the connected page belongs into a record; nothing where no server runs."""
    if CONNECTION.hub is None:
        return {}
    facts = CONNECTION.hub.device()
    return {"browser": facts.browser, "isolated": facts.isolated, "simd": facts.simd}


def _gpu(facts: Facts) -> str:
    return f" ({facts.gpu})" if facts.gpu else ""
