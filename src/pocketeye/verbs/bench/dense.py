"""``pocketeye bench`` of detectors and segmenters: the whole way from an image to what is in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye import runs
from pocketeye.artifacts.dense import (
    Stages,
    load_dense_artifact,
)
from pocketeye.errors import InvalidValue
from pocketeye.exporting.dense_cells import _artifacts, _images, _measured
from pocketeye.latency.record import Device
from pocketeye.models.reference import ArtifactFolder, Run
from pocketeye.runtimes import Precision
from pocketeye.text import human_bytes, markdown_table, text_table
from pocketeye.verbs._result import VerbResult

_HEADER = ("model", "runtime", "precision", "size", "input", "prepare ms", "network ms", "decode ms",
           "all ms", "ratio")  # fmt: skip
_NUMBERS = range(3, len(_HEADER))
_SCHEMA = "pocketeye.bench-dense/1"


@dataclass(frozen=True, kw_only=True)
class DenseBenchRow:
    """One artefact: median milliseconds of an image; ``ratio`` of all of it to the first row's."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedImages:
    """What went through: ``count`` images of ``data``, or the photograph that comes with scikit-learn.

    ``split`` is None where the user named none: then it is the part for validation, if there is one.
    """

    count: int
    data: str | None
    split: str | None

    def line(self) -> str:
        if self.data is None:
            return "one bundled photograph again and again (your own images: --data)"
        part = f" ({self.split})" if self.split else ""
        if self.count == 1:
            return f"one image of {self.data}{part} again and again"
        return f"{self.count} images of {self.data}{part} in turn"


@dataclass(frozen=True, kw_only=True)
class DenseBenchResult(VerbResult):
    """All rows, in the order they were asked for, and the folder the tables are in."""

    rows: tuple[DenseBenchRow, ...]
    images: TimedImages
    threads: int
    device: Device
    out: Path

    def to_dict(self) -> dict[str, Any]:
        rows = [{**asdict(row), "stages": row.stages._asdict()} for row in self.rows]
        return {
            "schema": _SCHEMA, "device": asdict(self.device), "threads": self.threads,
            "images": asdict(self.images), "rows": rows,
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
            f"measured on {self.device}, {threads}, {self.images.line()}, warm, interleaved, medians; "
            "prepare: resizing and normalising; decode: boxes, NMS and masks, or the label map, in numpy"
        )


def bench_dense(
    models: Sequence[Run | ArtifactFolder],
    *,
    runtimes: Sequence[str],
    precisions: Sequence[Precision],
    threads: int,
    input_size: int | None,
    rounds: int,
    data: str | None,
    split: str | None,
    samples: int,
    out: Path,
) -> DenseBenchResult:
    """See :func:`pocketeye.verbs.bench.verb.bench`; runs are exported first."""
    if data is None and split is not None:
        raise InvalidValue("--split says which part of --data: give both")
    if rounds < 1:
        raise InvalidValue(f"--rounds must be at least 1, not {rounds}")
    images = _images(models, data, split, rounds)
    names, executables = [], []
    for model in models:
        for name, artifact in _artifacts(
            model, runtimes, precisions, threads, input_size, data, samples, out
        ):
            names.append(name)
            executables.append(load_dense_artifact(artifact, threads=threads))
    found = _measured(executables, images, rounds)
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
    timed = TimedImages(count=len(images), data=data, split=split)
    result = DenseBenchResult(
        rows=rows, images=timed, threads=threads, device=Device.here(), out=out
    )
    runs.write_atomic(out / "bench.md", result.markdown())
    runs.write_atomic(out / "bench.json", json.dumps(result.to_dict(), indent=1) + "\n")
    return result
