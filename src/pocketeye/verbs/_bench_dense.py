"""``pocketeye bench`` of detectors and segmenters: the whole way from a picture to what is in it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pocketeye import runs
from pocketeye.latency.record import Device
from pocketeye.models.bundled import located
from pocketeye.models.dense_described import is_dense
from pocketeye.progress import task
from pocketeye.runtimes import Precision
from pocketeye.runtimes.dense_artifact import (
    DenseExecutable,
    Stages,
    is_dense_artifact,
    load_dense_artifact,
)
from pocketeye.verbs._export_dense import export_dense
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs._text import human_bytes, markdown_table, text_table

_HEADER = ("model", "runtime", "precision", "size", "input", "prepare ms", "network ms", "decode ms",
           "all ms", "ratio")  # fmt: skip
_NUMBERS = range(3, len(_HEADER))
_SCHEMA = "pocketeye.bench-dense/1"
_WARM_UP = 2


@dataclass(frozen=True, kw_only=True)
class DenseBenchRow:
    """One artefact: median milliseconds of a picture; ``ratio`` of all of it to the first row's."""

    model: str
    runtime: str
    precision: str
    size_bytes: int
    canvas: tuple[int, int]
    stages: Stages
    ratio: float

    def cells(self) -> tuple[str, ...]:
        return (
            self.model,
            self.runtime,
            self.precision,
            human_bytes(self.size_bytes),
            f"{self.canvas[1]}x{self.canvas[0]}",
            *(f"{ms:.2f}" for ms in (*self.stages, self.stages.total)),
            f"{self.ratio:.2f}",
        )


@dataclass(frozen=True, kw_only=True)
class DenseBenchResult(VerbResult):
    """All rows, in the order they were asked for, and the folder the tables are in."""

    rows: tuple[DenseBenchRow, ...]
    threads: int
    device: Device
    out: Path

    def to_dict(self) -> dict[str, Any]:
        rows = [{**asdict(row), "stages": row.stages._asdict()} for row in self.rows]
        return {
            "schema": _SCHEMA, "device": asdict(self.device), "threads": self.threads, "rows": rows,
        }  # fmt: skip

    def lines(self) -> list[str]:
        rows = [row.cells() for row in self.rows]
        return [*text_table(_HEADER, rows, right=_NUMBERS), self._caption()]

    def markdown(self) -> str:
        rows = markdown_table(_HEADER, [row.cells() for row in self.rows], right=_NUMBERS)
        return "\n".join([*rows, "", self._caption()]) + "\n"

    def written(self) -> list[Path]:
        return [self.out / "bench.md", self.out / "bench.json"]

    def _caption(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"measured on {self.device}, {threads}, one photograph at a time, warm, interleaved; "
            "prepare: resizing and normalising; decode: boxes, NMS and masks, or the label map, in numpy"
        )


def are_dense(models: Sequence[str]) -> list[bool]:
    """Which of them are runs or artefacts of detectors and segmenters."""
    folders = [Path(located(model)) for model in models]
    return [is_dense(folder) or is_dense_artifact(folder) for folder in folders]


def bench_dense(
    models: Sequence[str],
    *,
    runtimes: Sequence[str],
    precisions: Sequence[Precision],
    threads: int,
    input_size: int | None,
    rounds: int,
    out: Path,
) -> DenseBenchResult:
    """See :func:`pocketeye.verbs.bench.bench`; runs are exported first."""
    names, executables = [], []
    for model in models:
        folder = Path(located(model))
        for name, artifact in _artifacts(folder, runtimes, precisions, threads, input_size, out):
            names.append(name)
            executables.append(load_dense_artifact(artifact, threads=threads))
    found = _measured(executables, rounds)
    rows = tuple(
        DenseBenchRow(
            model=name,
            runtime=executable.artifact.runtime,
            precision=executable.artifact.precision,
            size_bytes=sum(graph.artifact.size_bytes for graph in executable.graphs),
            canvas=executable.manifest.canvas,
            stages=stages,
            ratio=stages.total / found[0].total,
        )
        for name, executable, stages in zip(names, executables, found, strict=True)
    )
    out.mkdir(parents=True, exist_ok=True)
    result = DenseBenchResult(rows=rows, threads=threads, device=Device.here(), out=out)
    runs.write_atomic(out / "bench.md", result.markdown())
    runs.write_atomic(out / "bench.json", json.dumps(result.to_dict(), indent=1) + "\n")
    return result


def _artifacts(
    folder: Path, runtimes: Sequence[str], precisions: Sequence[Precision], threads: int,
    input_size: int | None, out: Path,
) -> list[tuple[str, Path]]:  # fmt: skip
    """(Name, folder) of what is timed; a run is exported to every runtime and precision."""
    if is_dense_artifact(folder):
        origin = folder / "export.json"
        known = json.loads(origin.read_text(encoding="utf-8")) if origin.is_file() else {}
        return [(known.get("name", folder.name), folder)]
    found = []
    for to in runtimes:
        for precision in precisions:
            target = out / folder.name / f"{to}-{precision}"
            export_dense(folder, to=to, precision=precision, out=target, input_size=input_size,
                         data=None, samples=2, threads=threads)  # fmt: skip
            found.append((folder.name, target))
    return found


def _measured(executables: Sequence[DenseExecutable], rounds: int) -> list[Stages]:
    """Medians; the artefacts take turns, so that drift of the machine falls on all of them."""
    place = resources.files("sklearn.datasets.images") / "china.jpg"
    picture = np.asarray(Image.open(str(place)).convert("RGB"))
    samples: list[list[Stages]] = [[] for _ in executables]
    with task("timing", rounds + _WARM_UP) as bar:
        for number in range(rounds + _WARM_UP):
            for executable, taken in zip(executables, samples, strict=True):
                executable(picture)
                if number >= _WARM_UP:
                    taken.append(executable.stages)
            bar.advance()
    return [
        Stages(*(statistics.median(column) for column in zip(*taken, strict=True)))
        for taken in samples
    ]
