"""Keep the table of a benchmark: rows with records, stored as JSON, shown as text, Markdown, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pocketeye import runs
from pocketeye.latency.device import Device
from pocketeye.latency.record import PERCENTILES, UNDISTURBED, LatencyRecord, Timing, ms_text
from pocketeye.reading import (
    BadField,
    Kind,
    NonNegative,
    Pixels,
    Whole,
    make,
    make_mapping,
    reading,
)
from pocketeye.text import human_bytes, human_count, markdown_table

SCHEMA = "pocketeye.bench/2"
_STAGES = ("prepare", "network", "decode")
# Columns that are left out where no row has them: older records kept less.
_KEPT = ("p10 ms", "p50 ms", "p90 ms", "undisturbed ms", "stages together ms")
_CSV = ("model", "runtime", "precision", "threads", "device", "size_bytes", "macs", "params", "canvas",
        "n", "p10_ms", "p50_ms", "p90_ms", "undisturbed_ms",
        *(f"{stage}_undisturbed_ms" for stage in _STAGES), "ratio", "problem")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """Hold one network in one runtime at one precision.

    Attributes:
        canvas: of detectors and segmenters: height and width of the graph's input.
        ratio: its latency over that of the first measured row.
        problem: why there is no record.
    """

    model: str
    runtime: str
    precision: str
    size_bytes: Whole | None = None
    macs: Whole | None = None
    params: Whole | None = None
    canvas: tuple[Pixels, Pixels] | None = None
    record: LatencyRecord | None = None
    ratio: NonNegative | None = None
    problem: str | None = None

    def cells(self, dense: bool) -> dict[str, str]:
        """Return texts by column."""
        size = "" if self.size_bytes is None else human_bytes(self.size_bytes)
        cells = {
            "model": self.model, "runtime": self.runtime, "precision": self.precision, "size": size,
        }  # fmt: skip
        digits = 3  # microseconds: small classifiers take less than a millisecond
        if dense:
            digits = 2  # a detector takes tens of milliseconds
            cells["input"] = f"{self.canvas[1]}x{self.canvas[0]}" if self.canvas else ""
            stages = self.record.stages if self.record else {}
            for name in _STAGES:
                ms = stages[name].latency_ms if name in stages else None
                cells[f"{name} ms"] = ms_text(ms, digits)
        else:
            for name, count in (("MACs", self.macs), ("params", self.params)):
                cells[name] = "" if count is None else human_count(count)
        return cells | self._times(digits)

    def _times(self, digits: int) -> dict[str, str]:
        t = self.record.timing if self.record else Timing()
        # Older records kept the stages of a detector alone: their sum stands in its own column.
        known = t.undisturbed_ms is not None or t.p50_ms is not None
        together = self.record.latency_ms if self.record and not known else None
        times = (t.p10_ms, t.p50_ms, t.p90_ms, t.undisturbed_ms, together)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        # A busy machine: the time is an upper bound, and the ratio is doubtful with it.
        mark = "?" if self.record and self.record.disturbed else ""
        texts = (ms_text(ms, digits) for ms in times)
        return dict(zip(_KEPT, texts, strict=True)) | {"ratio": ratio + mark}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        # Not asdict, which would take the record apart as well: it has a form of its own.
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**data, "record": self.record.to_dict() if self.record else None}


def with_ratios(rows: Sequence[BenchRow]) -> tuple[BenchRow, ...]:
    """Return rows with their latency over that of the first that was measured."""
    first = next((row.record.latency_ms for row in rows if row.record), 1.0)
    return tuple(
        replace(row, ratio=row.record.latency_ms / first) if row.record else row for row in rows
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedImages:
    """Say which images were timed: ``count`` of ``data``, or a photograph.

    ``split`` is None where the user named none: then it is the part for validation, if there is one.
    """

    count: int
    data: str | None
    split: str | None

    def line(self) -> str:
        """Describe the images in a few words."""
        if self.data is None:
            return "one bundled photograph again and again (your own images: --data)"
        part = f" ({self.split})" if self.split else ""
        if self.count == 1:
            return f"one image of {self.data}{part} again and again"
        return f"{self.count} images of {self.data}{part} in turn"


@dataclass(frozen=True, kw_only=True)
class BenchTable:
    """Hold all rows, in the order they were asked for. ``images`` is None for classifiers."""

    rows: tuple[BenchRow, ...]
    threads: int
    device: Device
    images: TimedImages | None = None

    def header(self) -> tuple[str, ...]:
        """Return the names of the columns; those with a ``ms`` hold milliseconds."""
        rows = [row.cells(self.images is not None) for row in self.rows]
        unknown = ms_text(None)
        return tuple(
            name
            for name in rows[0]
            if name not in _KEPT or any(row[name] != unknown for row in rows)
        )

    def cells(self) -> list[tuple[str, ...]]:
        """Return the texts of all rows."""
        header = self.header()
        rows = (row.cells(self.images is not None) for row in self.rows)
        return [tuple(row[name] for name in header) for row in rows]

    def numbers(self) -> range:
        """Return the columns that lean to the right."""
        # The first three columns are names.
        return range(3, len(self.header()))

    def captions(self) -> list[str]:
        """Say how it was measured, and what the columns are."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        how = f"measured on {self.device}, {threads}, batch 1, warm, interleaved"
        timings = [row.record.timing for row in self.rows if row.record]
        if self.images:
            how += f", {self.images.line()}"
        if any(row.record.disturbed for row in self.rows if row.record):
            how += "; ?: the machine was busy, measure again"
        columns = []
        if any(timing.undisturbed_ms is not None for timing in timings):
            columns.append(UNDISTURBED)
        if any(timing.p50_ms is not None for timing in timings):
            columns.append(PERCENTILES)
        elif timings:
            columns.append("percentiles of all samples were not kept by this older record")
        if self.images:
            medians = any(timing.undisturbed_ms is None for timing in timings)
            what = "medians of the wall time" if medians else "undisturbed ms"
            columns.append(
                "prepare: resizing and normalising; decode: boxes, NMS and masks, or the label map, in "
                f"numpy; these and network: {what}"
            )
        return [how, "; ".join(columns)]

    def problems(self) -> list[str]:
        """Say why cells have no numbers."""
        return [
            f"{r.model}, {r.runtime}, {r.precision}: {r.problem}" for r in self.rows if r.problem
        ]

    def markdown(self) -> str:
        """Return the table with its captions and the reasons of failed cells."""
        lines = markdown_table(self.header(), self.cells(), right=self.numbers())
        captions = [line for caption in self.captions() for line in ("", caption)]
        problems = [f"- {text}" for text in self.problems()]
        return "\n".join([*lines, *captions, *(["", *problems] if problems else [])]) + "\n"

    def csv(self) -> str:
        """Return the same numbers as CSV, unrounded, one row a cell."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_CSV)
        for row in self.rows:
            timing = asdict(row.record.timing) if row.record else {}
            stages = row.record.stages if row.record else {}
            known = {
                **row.to_dict(), "threads": self.threads, "device": str(self.device), **timing,
                **{f"{name}_undisturbed_ms": t.undisturbed_ms for name, t in stages.items()},
            }  # fmt: skip
            writer.writerow([known.get(key) for key in _CSV])
        return text.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        return {
            "schema": SCHEMA,
            "device": asdict(self.device),
            "threads": self.threads,
            "images": asdict(self.images) if self.images else None,
            "rows": [row.to_dict() for row in self.rows],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> BenchTable:
        """Read back what :meth:`to_dict` gave; raises InvalidValue for anything else."""
        stored = {key: value for key, value in make_mapping(data).items() if key != "schema"}
        table = make(
            cls, stored, converters={LatencyRecord: LatencyRecord.from_dict}, complete=True
        )
        if not table.rows:
            raise BadField("it has no rows")
        return table

    @classmethod
    def load(cls, path: Path) -> BenchTable:
        """Read a file written by :meth:`save`; raises InvalidValue for another file."""
        data = _FILE.read(path)
        with reading(path, _FILE.what, _FILE.remedy):
            return cls.from_dict(data)

    def paths(self, folder: Path) -> list[Path]:
        """Return the files of :meth:`save`: a record names the device it is of."""
        return [folder / f"bench-{self.device.slug}.{suffix}" for suffix in ("md", "csv", "json")]

    def save(self, folder: Path) -> list[Path]:
        """Write table, CSV and records into ``folder``.

        Raises:
            InvalidValue: the folder cannot be made or written.
        """
        # All texts below are made before the first file is written.
        runs.make_folder(folder)
        texts = (self.markdown(), self.csv(), json.dumps(self.to_dict(), indent=1) + "\n")
        return [
            runs.write_atomic(path, text)
            for path, text in zip(self.paths(folder), texts, strict=True)
        ]


_FILE = Kind(what="a benchmark", schema=SCHEMA, remedy="run `pocketeye bench` again")
