"""``pocketeye bench``: networks × runtimes × precisions in one table, timed side by side."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pocketeye import runs
from pocketeye.errors import InvalidValue
from pocketeye.exporting.cells import Cell, artifact_cell, model_cells
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.latency.record import Device, LatencyRecord, choose_clock
from pocketeye.models.reference import ArtifactFolder, Run, expect
from pocketeye.models.task import CLASSIFY, DENSE
from pocketeye.progress import task
from pocketeye.runtimes import Precision, get_runtime
from pocketeye.text import human_bytes, human_count, markdown_table, text_table
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs.bench.dense import DenseBenchResult, bench_dense

SCHEMA = "pocketeye.bench/1"
_HEADER = ("model", "runtime", "precision", "size", "MACs", "params",
           "p10 ms", "p50 ms", "p90 ms", "cpu ms", "ratio")  # fmt: skip
_NUMBERS = range(3, len(_HEADER))


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """One cell. ``ratio`` is its latency over that of the first measured row, by the deciding clock;
    ``problem`` says why there is no record. ``disturbed``: too few clean samples were left."""

    model: str
    runtime: str
    precision: str
    size_bytes: int | None = None
    macs: int | None = None
    params: int | None = None
    record: LatencyRecord | None = None
    disturbed: bool = False
    ratio: float | None = None
    problem: str | None = None

    def cells(self) -> tuple[str, ...]:
        """Texts in the order of the table's header."""
        return (
            self.model,
            self.runtime,
            self.precision,
            "" if self.size_bytes is None else human_bytes(self.size_bytes),
            "" if self.macs is None else human_count(self.macs),
            "" if self.params is None else human_count(self.params),
            *self._times(),
        )

    def _times(self) -> tuple[str, ...]:
        if self.record is None:
            return ("—",) * 5
        t = self.record.timing
        times = (t.p10_ms, t.p50_ms, t.p90_ms, t.cpu_p50_ms)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return (*(f"{ms:.3f}" for ms in times), ratio + ("?" if self.disturbed else ""))

    def to_dict(self) -> dict[str, Any]:
        data = {f: getattr(self, f) for f in self.__dataclass_fields__}
        return {**data, "record": self.record.to_dict() if self.record else None}


@dataclass(frozen=True, kw_only=True)
class BenchResult(VerbResult):
    """All rows, in the order they were asked for, and the folder the tables are in."""

    rows: tuple[BenchRow, ...]
    threads: int
    device: Device
    out: Path

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "device": asdict(self.device),
            "threads": self.threads,
            "rows": [row.to_dict() for row in self.rows],
        }

    def lines(self) -> list[str]:
        lines = text_table(_HEADER, [row.cells() for row in self.rows], right=_NUMBERS)
        return [*lines, self._caption(), *self._problems()]

    def markdown(self) -> str:
        """The table with its caption and the reasons of failed cells."""
        lines = markdown_table(_HEADER, [row.cells() for row in self.rows], right=_NUMBERS)
        problems = [f"- {text}" for text in self._problems()]
        return (
            "\n".join([*lines, "", self._caption(), *(["", *problems] if problems else [])]) + "\n"
        )

    def csv(self) -> str:
        """The same numbers, unrounded, one row a cell."""
        text = io.StringIO()
        keys = ("model", "runtime", "precision", "threads", "device", "size_bytes", "macs", "params",
                "p10_ms", "p50_ms", "p90_ms", "cpu_p50_ms", "ratio", "problem")  # fmt: skip
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(keys)
        for row in self.rows:
            timing = row.record.timing if row.record else None
            shared = {**row.to_dict(), "threads": self.threads, "device": str(self.device)}
            writer.writerow([shared[k] if k in shared else getattr(timing, k, None) for k in keys])
        return text.getvalue()

    def written(self) -> list[Path]:
        return [self.out / f"bench.{suffix}" for suffix in ("md", "csv", "json")]

    @property
    def exit_code(self) -> int:
        return 0 if any(row.record for row in self.rows) else 1

    def _caption(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        text = f"measured on {self.device}, {threads}, batch 1, warm, interleaved"
        if any(row.disturbed for row in self.rows):
            text += "; ?: the machine was busy, measure again"
        return text

    def _problems(self) -> list[str]:
        return [
            f"{r.model}, {r.runtime}, {r.precision}: {r.problem}" for r in self.rows if r.problem
        ]


def bench(
    models: list[str],
    *,
    runtimes: tuple[str, ...] = ("onnxruntime",),
    precisions: tuple[Precision, ...] = ("fp32",),
    threads: int = 1,
    input_size: int | None = None,
    rounds: int = 24,
    samples: int = 16,
    data: str | None = None,
    split: str | None = None,
    out: Path = Path("out/bench"),
) -> BenchResult | DenseBenchResult:
    """Time networks, runtimes and precisions side by side and print one table.

    Of detectors and segmenters the whole way is timed: preparing an image, the network, decoding.

    Args:
        models: names from `pocketeye list`, run folders, or folders of exported artefacts.
        runtimes: runtimes to export to (artefacts keep their own).
        precisions: precisions to export in (artefacts keep their own).
        threads: threads of every runtime.
        input_size: side of the image in pixels; each network's own by default.
        rounds: how often every cell is visited.
        samples: images that calibrate int8.
        data: of detectors and segmenters a set as in pocketeye train, eight of whose images are timed
            in turn, as decoding takes longer the more is found; runs are exported with it too. By
            default a photograph that comes with scikit-learn.
        split: which part of the data is timed; by default that for validation.
        out: folder of bench.md, bench.csv, bench.json and the artefacts made on the way.

    Raises:
        InvalidValue: unknown model or runtime, two cells that are the same, or data for a classifier.
        MissingFile: no network at a path.
    """
    if not models:
        raise InvalidValue("nothing to time: name at least one model")
    if threads < 1:
        raise InvalidValue(f"threads must be at least 1, not {threads}")
    chosen = [get_runtime(name) for name in runtimes]
    named = [expect(model, "pocketeye bench", (CLASSIFY, *DENSE)) for model in models]
    whole = [one for one in named if isinstance(one, Run | ArtifactFolder) and one.task.is_dense]
    if whole:
        if len(whole) < len(models):
            other = next(m for m, one in zip(models, named, strict=True) if one not in whole)
            raise InvalidValue(
                f"{other} is no detector or segmenter, whose whole way is timed: bench it by itself"
            )
        return bench_dense(
            whole, runtimes=runtimes, precisions=precisions, threads=threads, input_size=input_size,
            rounds=rounds, data=data, split=split, samples=samples, out=out,
        )  # fmt: skip
    for flag, given in (("--data", data), ("--split", split)):
        if given is not None:
            raise InvalidValue(
                f"{flag} is for detectors and segmenters, and {models[0]} is none: leave it out, as the "
                "image has no say in a classifier's time"
            )
    cells: list[Cell] = []
    with task("preparing", len(models)) as bar:
        for index, (model, one) in enumerate(zip(models, named, strict=True)):
            if isinstance(one, ArtifactFolder):
                cells.append(artifact_cell(one.folder, threads))
            else:
                cells += model_cells(
                    model, chosen, precisions, out / "artifacts" / str(index),
                    input_size=input_size, threads=threads, samples=samples,
                )  # fmt: skip
            bar.advance()
    rows = _measure(_numbered(cells), Protocol(rounds=rounds), threads)
    result = BenchResult(rows=rows, threads=threads, device=Device.here(), out=out)
    _write(result)
    return result


def _numbered(cells: Sequence[Cell]) -> dict[str, Cell]:
    """Cells by label; the same network twice (two runs of one name) gets a number."""
    named: dict[str, Cell] = {}
    for cell in cells:
        again = sum(label.partition(" #")[0] == cell.label for label in named)
        named[f"{cell.label} #{again + 1}" if again else cell.label] = cell
    return named


def _measure(cells: dict[str, Cell], protocol: Protocol, threads: int) -> tuple[BenchRow, ...]:
    calls = {
        label: cell.executable.bind(*cell.arrays)
        for label, cell in cells.items()
        if cell.executable
    }
    measured = measure_interleaved(calls, protocol, threads=threads)
    rows: list[BenchRow] = []
    for label, cell in cells.items():
        row = BenchRow(
            model=cell.model,
            runtime=cell.runtime,
            precision=cell.precision,
            size_bytes=cell.artifact.size_bytes if cell.artifact else None,
            macs=cell.macs,
            params=cell.params,
            problem=cell.problem,
        )
        if label in measured:
            runtime = get_runtime(cell.runtime)
            record = LatencyRecord(
                subject=cell.model,
                runtime=cell.runtime,
                runtime_version=runtime.version(),
                threads=threads,
                precision=cell.precision,
                clock=choose_clock(threads),
                timing=measured[label].timing,
                flags=runtime.flags(),
                protocol=protocol.to_dict(),
                input_size=cell.input_size,
            )
            row = replace(row, record=record, disturbed=measured[label].disturbed)
        rows.append(row)
    first = next((row.record.latency_ms for row in rows if row.record), 1.0)
    return tuple(
        replace(row, ratio=row.record.latency_ms / first) if row.record else row for row in rows
    )


def _write(result: BenchResult) -> None:
    try:
        result.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(f"cannot make the folder {result.out}: {error.strerror}") from error
    markdown, table, records = result.written()
    runs.write_atomic(markdown, result.markdown())
    runs.write_atomic(table, result.csv())
    runs.write_atomic(records, json.dumps(result.to_dict(), indent=1) + "\n")
