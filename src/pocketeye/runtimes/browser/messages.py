"""Check what a page sends: the facts of its device, and the results of a job."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pocketeye.reading import BadField
from pocketeye.runtimes.base import TensorSpec

LONGEST_MS = 600_000.0
_LONGEST_TEXT = 300
_CLOCK_SLACK_MS = 50.0  # of the server's own view of how long a job took
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Hold what a browser tells of itself and its device.

    Attributes:
        name: that the user gives the device; empty where none was given.
        browser: with its version, such as ``Chromium 156``.
        system: operating system and model, as far as they are told.
        cores: logical processors.
        isolated: whether threads and a fine clock are there.
        simd: whether 128-bit SIMD is there; without it ONNX Runtime Web does not run.
        clock_step_ms: the smallest step of its clock.
        gpu: the adapter of WebGPU; empty where there is none.
    """

    browser: str
    system: str
    cores: int
    isolated: bool
    simd: bool
    clock_step_ms: float
    name: str = ""
    gpu: str = ""

    @classmethod
    def of(cls, data: Any) -> Facts:
        """Read the facts of a message.

        Raises:
            BadField: a fact is missing or impossible.
        """
        if not isinstance(data, dict):
            raise BadField("the facts of a device are an object")
        texts: dict[str, str] = {}
        for key in ("browser", "system", "name", "gpu"):
            text = data.get(key, "")
            if not isinstance(text, str) or len(text) > _LONGEST_TEXT:
                raise BadField(f"{key} is a text of at most {_LONGEST_TEXT} characters")
            # They are shown on a terminal and written into file names.
            texts[key] = " ".join(_CONTROL.sub(" ", text).split())
        if not texts["browser"]:
            raise BadField("browser is missing")
        cores, step = data.get("cores"), data.get("clock_step_ms")
        if not isinstance(cores, int) or isinstance(cores, bool) or not 1 <= cores <= 4096:
            raise BadField(f"cores is a number from 1 to 4096, got {cores!r:.40}")
        isolated, simd = data.get("isolated"), data.get("simd")
        if not isinstance(isolated, bool) or not isinstance(simd, bool):
            raise BadField("isolated and simd are true or false")
        return cls(
            browser=texts["browser"],
            system=texts["system"],
            name=texts["name"],
            gpu=texts["gpu"],
            cores=cores,
            isolated=isolated,
            simd=simd,
            clock_step_ms=positive_ms(step, "clock_step_ms"),
        )


def positive_ms(value: Any, what: str) -> float:
    """Return a time in milliseconds.

    Raises:
        BadField: it is no finite number above 0, or longer than ten minutes.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadField(f"{what} is {value!r:.40}, and should be a number")
    if not math.isfinite(value) or not 0 < value <= LONGEST_MS:
        raise BadField(f"{what} is {value!r:.40}, and should be above 0 and at most {LONGEST_MS:g}")
    return float(value)


@dataclass(frozen=True, kw_only=True)
class Job:
    """Hold one job for a page.

    Attributes:
        kind: ``time``, ``calibrate`` or ``run``.
        graphs: numbers of the graphs that it needs.
        visits: of ``time`` and ``calibrate``: (graph, calls in a row, samples).
        done: share of the whole measurement before it, for the bar on the page.
        arrays: of ``run``, the inputs.
        outputs: of ``run``, what has to come back.
    """

    number: int
    kind: str
    backend: str
    threads: int
    graphs: tuple[int, ...]
    visits: tuple[tuple[int, int, int], ...] = ()
    min_sample_ms: float = 0.0
    done: float = 0.0
    arrays: tuple[np.ndarray, ...] = ()
    outputs: tuple[TensorSpec, ...] = field(default=())

    def message(self, graphs: dict[int, dict[str, Any]]) -> dict[str, Any]:
        """Return what the page gets; ``graphs`` describes all of them."""
        return {
            "job": self.number,
            "kind": self.kind,
            "backend": self.backend,
            "threads": self.threads,
            "graphs": [graphs[number] for number in self.graphs],
            "visits": [list(visit) for visit in self.visits],
            "min_sample_ms": self.min_sample_ms,
            "done": self.done,
            "arrays": [base64.b64encode(array.tobytes()).decode() for array in self.arrays],
        }

    def read(self, data: dict[str, Any], elapsed_ms: float) -> Any:
        """Return what the page found, checked against the job.

        Args:
            elapsed_ms: since the job was given out: no answer can hold more time than that.

        Raises:
            BadField: it does not answer this job, or cannot be true.
        """
        if self.kind == "run":
            return self._arrays(data.get("outputs"))
        if self.kind == "calibrate":
            return self._inner(data.get("inner"))
        return self._times(data.get("times"), elapsed_ms)

    def _times(self, rows: Any, elapsed_ms: float) -> list[list[float]]:
        if not isinstance(rows, list) or len(rows) != len(self.visits):
            raise BadField(f"times should hold a list for each of {len(self.visits)} visits")
        found, total = [], 0.0
        for row, (graph, inner, num) in zip(rows, self.visits, strict=True):
            if not isinstance(row, list) or len(row) != num:
                raise BadField(f"the times of graph {graph} should be {num} numbers")
            times = [positive_ms(ms, f"a time of graph {graph}") for ms in row]
            total += sum(times) * inner
            found.append(times)
        if total > elapsed_ms + _CLOCK_SLACK_MS:
            raise BadField(
                f"its times add up to {total:.0f} ms, and the job took {elapsed_ms:.0f} ms in all"
            )
        return found

    def _inner(self, values: Any) -> list[int]:
        if not isinstance(values, list) or len(values) != len(self.visits):
            raise BadField(f"inner should hold {len(self.visits)} numbers")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**6:
                raise BadField(
                    f"calls in a row are a number from 1 to a million, got {value!r:.40}"
                )
        return values

    def _arrays(self, texts: Any) -> tuple[np.ndarray, ...]:
        if not isinstance(texts, list) or len(texts) != len(self.outputs):
            raise BadField(f"outputs should hold {len(self.outputs)} arrays")
        return tuple(map(_array, texts, self.outputs))


def _array(text: Any, spec: TensorSpec) -> np.ndarray:
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise BadField(f"the output {spec.name!r} is not base64") from error
    array = np.frombuffer(data, dtype=np.uint8)
    size = int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize
    if array.size != size:
        raise BadField(f"the output {spec.name!r} should be {size} bytes, got {array.size}")
    return array.view(spec.dtype).reshape(spec.shape)


def specs_text(specs: Sequence[TensorSpec]) -> list[dict[str, Any]]:
    """Describe inputs to a page."""
    return [{"name": s.name, "shape": list(s.shape), "dtype": s.dtype} for s in specs]
