"""Time networks, runtimes and precisions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pocketeye.artifacts.dense import DenseExecutable, load_dense_artifact
from pocketeye.errors import InvalidValue
from pocketeye.exporting.bench.cells import open_cells
from pocketeye.exporting.bench.dense_cells import dense_artifacts, images_for
from pocketeye.exporting.bench.table import BenchRow, BenchTable, TimedImages, with_ratios
from pocketeye.exporting.exported import ExportOptions
from pocketeye.exporting.timing import record_of, time_dense
from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Call, Measured, Protocol, measure_interleaved
from pocketeye.models.reference import ArtifactFolder, Reference, Run, expect
from pocketeye.models.task import CLASSIFY, DENSE
from pocketeye.runtimes import Precision, get_runtime
from pocketeye.runtimes.base import RemoteCall


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Choose what is timed beside what, and how long.

    Attributes:
        runtimes, precisions: that networks are exported to; artefacts keep their own.
        rounds: how often every cell is visited.
        export: what else an export needs.
        data, split: of detectors and segmenters, whose images are timed in turn.
        out: folder of the tables, and of the artefacts made on the way.
    """

    runtimes: Sequence[str]
    precisions: Sequence[Precision]
    rounds: int
    export: ExportOptions
    split: str | None
    out: Path

    def exports(self) -> list[ExportOptions]:
        """Return one for every runtime and precision."""
        return [
            replace(self.export, to=to, precision=precision)
            for to in self.runtimes
            for precision in self.precisions
        ]


def bench_models(models: Sequence[str], options: BenchOptions) -> BenchTable:
    """Time all cells; detectors and segmenters the whole way from an image to what is in it.

    Raises:
        InvalidValue: unknown model or runtime, classifiers beside others, or data for a classifier.
        MissingFile: no network or data at a path.
    """
    if not models:
        raise InvalidValue("nothing to time: name at least one model")
    if options.export.threads < 1:
        raise InvalidValue(f"threads must be at least 1, not {options.export.threads}")
    # Names first: a misspelt runtime must not be told after minutes of exports.
    for name in options.runtimes:
        get_runtime(name)
    # All are looked up before the first is exported, which may take minutes.
    named = [expect(model, "pocketeye bench", (CLASSIFY, *DENSE)) for model in models]
    whole = [one for one in named if isinstance(one, Run | ArtifactFolder) and one.task.is_dense]
    if len(whole) == len(models):
        return _bench_dense(whole, options)
    if whole:
        other = next(m for m, one in zip(models, named, strict=True) if one not in whole)
        raise InvalidValue(
            f"{other} is no detector or segmenter, whose whole way is timed: bench it by itself"
        )
    for flag, given in (("--data", options.export.data), ("--split", options.split)):
        if given is not None:
            raise InvalidValue(
                f"{flag} is for detectors and segmenters, and {models[0]} is none: leave it out, as the "
                "image has no say in a classifier's time"
            )
    return _bench_networks(models, named, options)


def _bench_networks(
    models: Sequence[str], named: Sequence[Reference], options: BenchOptions
) -> BenchTable:
    threads = options.export.threads
    labelled = open_cells(models, named, options.exports(), options.out / "artifacts")
    protocol = Protocol(rounds=options.rounds)
    calls = {
        label: cell.executable.bind(*cell.arrays)
        for label, cell in labelled.items()
        if cell.executable
    }
    # All in one go and interleaved: a slow spell of the machine hits all of them alike. What runs on a
    # connected device is timed there.
    groups: dict[str, dict[str, Call]] = {}
    for label, call in calls.items():
        where = labelled[label].runtime if isinstance(call, RemoteCall) else "here"
        groups.setdefault(where, {})[label] = call
    measured: dict[str, Measured] = {}
    for group in groups.values():
        measured |= measure_interleaved(group, protocol, threads=threads)
    rows = []
    for label, cell in labelled.items():
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
            record = record_of(
                cell.model, measured[label], runtime=get_runtime(cell.runtime),
                precision=cell.precision, threads=threads, protocol=protocol,
                input_size=cell.input_size,
            )  # fmt: skip
            row = replace(row, record=record)
        rows.append(row)
    return BenchTable(rows=with_ratios(rows), threads=threads, device=Device.here())


def _bench_dense(models: Sequence[Run | ArtifactFolder], options: BenchOptions) -> BenchTable:
    data, split, threads = options.export.data, options.split, options.export.threads
    if data is None and split is not None:
        raise InvalidValue("--split says which part of --data: give both")
    if options.rounds < 1:
        raise InvalidValue(f"--rounds must be at least 1, not {options.rounds}")
    images = images_for(models, data, split, options.rounds)
    names: list[str] = []
    executables: dict[str, DenseExecutable] = {}
    for model in models:
        for name, artifact in dense_artifacts(model, options.exports(), options.out):
            # Two runs of one name are two rows.
            executables[f"{name}\t{len(names)}"] = load_dense_artifact(artifact, threads=threads)
            names.append(name)
    records = time_dense(executables, images, rounds=options.rounds, threads=threads)
    rows = [
        BenchRow(
            model=name,
            runtime=executable.artifact.runtime,
            precision=executable.artifact.precision,
            size_bytes=executable.size_bytes,
            canvas=executable.manifest.canvas,
            record=replace(records[key], subject=name),
        )
        for name, (key, executable) in zip(names, executables.items(), strict=True)
    ]
    return BenchTable(
        rows=with_ratios(rows),
        threads=threads,
        device=Device.here(),
        images=TimedImages(count=len(images), data=data, split=split),
    )
