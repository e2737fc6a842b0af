"""Profile networks: the time of every operator, by module, beside the time of the whole call."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pocketeye import runs
from pocketeye.errors import InvalidValue
from pocketeye.exporting.bench.cells import Cell, open_cells
from pocketeye.exporting.exported import ExportOptions
from pocketeye.exporting.timing import record_of
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.latency.record import LatencyRecord
from pocketeye.models.reference import Run, expect
from pocketeye.models.task import CLASSIFY, DENSE
from pocketeye.progress import task
from pocketeye.runtimes import OpTiming, get_runtime

SCHEMA = "pocketeye.profile/1"
UNKNOWN_MODULE = "(runtime)"
"""Stands for what belongs to no module: the runtime's own changes of layout and type."""
_CSV = (
    "model",
    "runtime",
    "precision",
    "op",
    "module",
    "name",
    "ms",
    "share",
    "placement",
    "shapes",
)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Hold one network's operators in one runtime at one precision.

    Attributes:
        label: name for a person; no two profiles of a comparison share it.
        record: of the whole call, timed without profiling.
        ops: in the order in which they run, without what watching costs.
        watching_ms: what watching one operator costs, taken off each: 0 where the operators together
            take no longer than the whole call. ONNX Runtime on an x86 server: 5 microseconds, as much
            as a small operator takes.
    """

    label: str
    record: LatencyRecord
    ops: tuple[OpTiming, ...]
    watching_ms: float = 0.0

    @property
    def ops_ms(self) -> float:
        """Return milliseconds of all operators together."""
        return sum(op.ms for op in self.ops)

    @property
    def unattributed_ms(self) -> float:
        """Return what the whole call takes beyond its operators."""
        return self.record.latency_ms - self.ops_ms

    def by_op(self) -> dict[str, float]:
        """Return milliseconds of each kind of operator, the most expensive first."""
        return _sums(self.ops, lambda op: op.op)

    def by_module(self, depth: int) -> dict[str, float]:
        """Return milliseconds of each module, paths cut to ``depth`` parts, in the order they run."""
        return _sums(self.ops, lambda op: module_at(op, depth), ranked=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        return {
            "label": self.label, "record": self.record.to_dict(), "ops_ms": self.ops_ms,
            "unattributed_ms": self.unattributed_ms, "watching_ms": self.watching_ms,
            "ops": [asdict(op) for op in self.ops],
        }  # fmt: skip


def module_at(op: OpTiming, depth: int) -> str:
    """Return the path of an operator's module, cut to ``depth`` parts."""
    return ".".join(op.module.split(".")[:depth]) or UNKNOWN_MODULE


def _sums(
    ops: Sequence[OpTiming], key: Callable[[OpTiming], str], ranked: bool = True
) -> dict[str, float]:
    sums: dict[str, float] = defaultdict(float)
    for op in ops:
        sums[key(op)] += op.ms
    return dict(sorted(sums.items(), key=lambda pair: -pair[1])) if ranked else dict(sums)


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """Choose what is profiled, and how long.

    Attributes:
        exports: one for every runtime and precision that networks are exported to; artefacts keep
            their own.
        num_runs: profiled runs of each; the whole call is timed apart from them.
        out: folder of the pages, and of the artefacts made on the way.
    """

    exports: Sequence[ExportOptions]
    num_runs: int
    out: Path

    @property
    def threads(self) -> int:
        """Return threads of every runtime."""
        return self.exports[0].threads


def profile_models(models: Sequence[str], options: ProfileOptions) -> tuple[Profile, ...]:
    """Profile every network in every runtime and precision that is asked for.

    Raises:
        InvalidValue: no model, one that is unknown or must be exported first, one that a runtime cannot
            run or profile.
        MissingFile: no network at a path.
    """
    if not models:
        raise InvalidValue("nothing to profile: name at least one model")
    named = [expect(model, "pocketeye profile", (CLASSIFY, *DENSE)) for model in models]
    for model, one in zip(models, named, strict=True):
        if isinstance(one, Run) and one.task.is_dense:
            raise InvalidValue(
                f"{model} is the run of a {one.task.kind}, which is several graphs: export it, and "
                "profile the artefact"
            )
    cells = open_cells(models, named, options.exports, options.out / "artifacts")
    for label, cell in cells.items():
        # One column less would be a comparison of something else.
        if cell.executable is None:
            raise InvalidValue(f"{label} cannot be profiled: {cell.problem}")
    protocol = Protocol()
    calls = {
        label: cell.executable.bind(*cell.arrays)
        for label, cell in cells.items()
        if cell.executable
    }
    measured = measure_interleaved(calls, protocol, threads=options.threads)
    profiles = []
    with task("profiling", len(cells)) as bar:
        for label, cell in cells.items():
            record = record_of(
                cell.model, measured[label], runtime=get_runtime(cell.runtime),
                precision=cell.precision, threads=options.threads, protocol=protocol,
                input_size=cell.input_size,
            )  # fmt: skip
            watched = _profile(label, cell, options.num_runs)
            ops, watching_ms = unwatched(watched, record.latency_ms)
            profiles.append(Profile(label=label, record=record, ops=ops, watching_ms=watching_ms))
            bar.advance()
    return tuple(profiles)


def _profile(label: str, cell: Cell, num_runs: int) -> tuple[OpTiming, ...]:
    assert cell.executable is not None
    ops = tuple(cell.executable.profile(*cell.arrays, runs=num_runs))
    if not ops:
        raise InvalidValue(f"{label}: the runtime {cell.runtime!r} gives no times of operators")
    return ops


def unwatched(ops: Sequence[OpTiming], whole_ms: float) -> tuple[tuple[OpTiming, ...], float]:
    """Take off what watching costs, so that the operators take no longer than the whole call.

    The same is taken off each, as reading a clock and writing an event down costs the same for a
    small operator as for a large one; none falls below 0.

    Args:
        ops: as a runtime reports them.
        whole_ms: of a call that nobody watches.

    Returns:
        The operators, and the milliseconds taken off each.
    """
    low, high = 0.0, max(op.ms for op in ops)
    if sum(op.ms for op in ops) <= whole_ms:
        return tuple(ops), 0.0
    for _ in range(60):  # halves: to the last bit of a float
        middle = (low + high) / 2
        over = sum(max(op.ms - middle, 0.0) for op in ops) > whole_ms
        low, high = (middle, high) if over else (low, middle)
    return tuple(replace(op, ms=max(op.ms - high, 0.0)) for op in ops), high


def profiles_csv(profiles: Sequence[Profile]) -> str:
    """Return every operator as a row of CSV, milliseconds unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for profile in profiles:
        whole = profile.record
        for op in profile.ops:
            shapes = " ".join("x".join(map(str, shape)) for shape in op.input_shapes)
            writer.writerow(
                (whole.subject, whole.runtime, whole.precision, op.op, op.module, op.name, op.ms,
                 op.ms / profile.ops_ms, op.placement, shapes)
            )  # fmt: skip
    return text.getvalue()


def save_records(profiles: Sequence[Profile], folder: Path) -> list[Path]:
    """Write ``profile.json`` and ``profile.csv`` into ``folder``.

    Raises:
        InvalidValue: the folder cannot be made or written.
    """
    stored = {"schema": SCHEMA, "profiles": [profile.to_dict() for profile in profiles]}
    runs.make_folder(folder)
    return [
        runs.write_json(folder / "profile.json", stored),
        runs.write_atomic(folder / "profile.csv", profiles_csv(profiles)),
    ]
