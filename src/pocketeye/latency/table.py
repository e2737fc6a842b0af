"""Keep a latency table: one row for every distinct block of a space, and how to sum them.

A table is valid for its device, runtime, version, threads and precision, and for nothing else; all
of that is in its header.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from pocketeye import runs
from pocketeye.errors import InvalidValue
from pocketeye.latency.calibration import Calibration
from pocketeye.latency.device import Device
from pocketeye.latency.graphs import graph_key
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.record import Clock, Timing
from pocketeye.models.architecture import Architecture, PlacedBlock
from pocketeye.models.dense.pixel_head import SegmenterSpec
from pocketeye.models.size import size_text
from pocketeye.models.space import SearchSpace
from pocketeye.reading import (
    BadField,
    Kind,
    NonNegative,
    Probability,
    Range,
    make,
    reading,
    require_file,
)
from pocketeye.runtimes.base import Runtime

SCHEMA = "pocketeye.latency-table/2"
SUFFIX = ".latency.json"


def table_name(
    space: SearchSpace, segmenter: SegmenterSpec | None, runtime: Runtime, precision: str
) -> str:
    """Name the file of a table: it tells what was measured, and on which device.

    Raises:
        UserError: the device of the runtime did not connect.
    """
    kind = "semantic-" if segmenter else ""
    size = size_text(space.input_size)
    device = Device.of(runtime).slug
    return f"{space.name}-{kind}{size}-{runtime.name}-{precision}-{device}{SUFFIX}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableHeader:
    """Say where the numbers come from. ``space`` is :meth:`SearchSpace.to_dict`."""

    space: dict[str, Any]
    device: Device
    runtime: str
    runtime_version: str
    flags: dict[str, Any]
    layout: str
    threads: Annotated[int, Range(1, 1e5)]
    precision: str
    clock: Clock
    protocol: dict[str, Any]
    overhead_ms: NonNegative
    rounds: Annotated[int, Range(0, 1e9)]
    seed: int
    date: str
    git: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """Hold one block: its timing, the cost of a call included, and how well it repeated.

    ``halves_ms`` holds the undisturbed time from the even and the odd visits alone, ``dropped`` the
    share of samples that were not clean.
    """

    timing: Timing
    halves_ms: tuple[NonNegative, NonNegative]
    dropped: Probability


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmenter:
    """Say what whole networks end with where they label pixels: pyramid and head, timed as one graph."""

    spec: SegmenterSpec
    row: Row


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Hold the latency of every block of a space; rows by ``str(PlacedBlock)``, a skip costs nothing.

    With a ``segmenter`` whole networks are segmenters: its row stands in the place of the head that
    labels images, which then has no row.
    """

    header: TableHeader
    rows: dict[str, Row]
    calibration: Calibration
    segmenter: Segmenter | None = None

    def block_ms(self, placed: PlacedBlock) -> float:
        """Return the block alone as measured, without the cost of a call; 0 for a skip.

        Raises:
            InvalidValue: the table has no such block.
        """
        key = graph_key(placed)
        if not key:
            return 0.0
        if key not in self._raw_ms:
            raise InvalidValue(
                f"the latency table has no block {placed}: it was made for the space "
                f"{self.header.space.get('name')!r} at input size "
                f"{self.header.space.get('input_size')}; measure a table for yours with "
                "`pocketeye measure`"
            )
        return self._raw_ms[key]

    @cached_property
    def _raw_ms(self) -> dict[str, float]:
        # By graph, so that another spelling of the same block finds its row.
        return {
            graph_key(PlacedBlock.parse(name)): self._without_call(row)
            for name, row in self.rows.items()
        }

    def calibrated_ms(self, placed: PlacedBlock) -> float:
        """Return what the block adds to a network; 0 for a skip."""
        raw = self.block_ms(placed)
        return 0.0 if raw == 0.0 else self._calibrated(raw)

    def layer_ms(self, architecture: Architecture) -> list[float]:
        """Return what every layer adds, from stem to head (of a segmenter its pyramid and head)."""
        *layers, head = architecture.placed()
        return [*map(self.calibrated_ms, layers), self._head_ms(head)]

    @property
    def head_ms(self) -> float:
        """Return what pyramid and head of a segmenter add to every network; 0 for classifiers."""
        if self.segmenter is None:
            return 0.0
        return self._calibrated(self._without_call(self.segmenter.row))

    def _head_ms(self, head: PlacedBlock) -> float:
        return self.calibrated_ms(head) if self.segmenter is None else self.head_ms

    def _calibrated(self, raw_ms: float) -> float:
        return self.calibration.gain * raw_ms + self.calibration.block_ms

    def _without_call(self, row: Row) -> float:
        # Never below a nanosecond, for a block as cheap as an empty call.
        return max(row.timing.latency_ms - self.header.overhead_ms, 1e-6)

    def predict(self, architecture: Architecture) -> float:
        """Predict the latency of a whole network in milliseconds.

        Raises:
            InvalidValue: it has a block that is not in the table.
        """
        stem, *blocks, head = architecture.placed()
        total = self._fixed_ms(stem, head)
        # Added one by one, in this order: a matrix that sums the same way gives the same bits.
        for placed in blocks:
            total += self.calibrated_ms(placed)
        return total

    def _fixed_ms(self, stem: PlacedBlock, head: PlacedBlock) -> float:
        return self.calibration.constant_ms + self.calibrated_ms(stem) + self._head_ms(head)

    def matrix(self, space: SearchSpace) -> LatencyMatrix:
        """Return what every candidate of ``space`` adds at every layer, and what all networks share.

        Raises:
            InvalidValue: the table lacks a block of the space.
        """
        first, *_, last = space.architecture([p.candidates[0] for p in space.positions]).placed()
        # NaN, not 0: an illegal candidate that is read by mistake must not look free.
        matrix = np.full((space.num_layers, len(space.ops)), np.nan)
        for layer, position in enumerate(space.positions):
            for op in position.candidates:
                matrix[layer, space.ops.index(op)] = self.calibrated_ms(position.placed(op))
        return LatencyMatrix(ms=matrix, fixed_ms=self._fixed_ms(first, last))

    def space(self) -> SearchSpace:
        """Return the space it was measured for.

        Raises:
            InvalidValue: the header holds no space, or one that is not that of the rows.
        """
        try:
            space = SearchSpace.from_dict(self.header.space)
        except InvalidValue as error:
            raise InvalidValue(
                f"the latency table's header holds no search space: {error}"
            ) from error
        self.require(space=space)
        return space

    def require(
        self,
        *,
        space: SearchSpace | None = None,
        runtime: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        """Refuse to be used for something else than what was measured.

        Raises:
            InvalidValue: one sentence that names everything that differs.
        """
        wanted = {"runtime": runtime, "precision": precision, "threads": threads}
        differs = [
            f"{key} {getattr(self.header, key)} (wanted: {value})"
            for key, value in wanted.items()
            if value is not None and value != getattr(self.header, key)
        ]
        if space is not None:
            differs += self._missing(space)
        if differs:
            raise InvalidValue(
                f"this latency table was made for {', '.join(differs)}; measure one that fits "
                "with `pocketeye measure`"
            )

    def _missing(self, space: SearchSpace) -> list[str]:
        known = self._raw_ms
        needed = space.placed(with_head=self.segmenter is None)
        absent = [p for p in needed if (key := graph_key(p)) and key not in known]
        if not absent:
            return []
        mine, theirs = self.header.space, space.to_dict()
        keys = ("input_size", "width", "num_classes", "in_chans", "stem", "head", "stages",
                "candidates")  # fmt: skip
        named = [k for k in keys if mine.get(k) != theirs[k]]
        short = [k for k in named if not isinstance(theirs[k], list)]
        if not short:
            rest = f" ({', '.join(named)} differ)" if named else ""
            return [f"the space {mine.get('name')!r}, which lacks {absent[0]}{rest}"]
        return [f"{k.replace('_', ' ')} {mine.get(k)} (wanted: {theirs[k]})" for k in short]

    def require_device(self, device: Device, runtime_version: str) -> None:
        """Refuse to be compared with another machine or another version of the runtime.

        Raises:
            InvalidValue: one of the two differs.
        """
        there = self.header.device
        if not device.same_as(there):
            apart = [f"without {', '.join(device.lacks(there))}"] if device.lacks(there) else []
            apart += [f"with {', '.join(there.lacks(device))}"] if there.lacks(device) else []
            raise InvalidValue(
                f"this latency table was measured on {there}, and this is {device}"
                f"{', ' if apart else ''}{' and '.join(apart)}: check it there, or measure a table here"
            )
        # Even a minor version may choose other kernels.
        if runtime_version != self.header.runtime_version:
            raise InvalidValue(
                f"this latency table was measured with {self.header.runtime} "
                f"{self.header.runtime_version}, and {runtime_version} is installed: latencies "
                "change between versions, measure the table again"
            )

    def lines(self, range_ms: tuple[float, float]) -> list[str]:
        """Describe the table to a person; ``range_ms`` is that of the space, as a matrix tells it."""
        header, fit = self.header, self.calibration
        plural = "" if header.threads == 1 else "s"
        lines = [
            f"[bold]{len(self.rows)} blocks[/bold] of {header.space['name']} at "
            f"{header.space['input_size']} px on {header.device}, {header.runtime} "
            f"{header.runtime_version}, {header.precision}, {header.threads} thread{plural}, "
            f"clock {header.clock}",
            f"networks of this space take {range_ms[0]:.2f} to {range_ms[1]:.2f} ms (est.)",
            f"calibrated on {len(fit.networks)} whole networks: {fit.fit}, gain {fit.gain:.3f}, "
            f"{fit.block_ms * 1e3:+.1f} µs a block, {fit.constant_ms * 1e3:+.1f} µs; "
            f"leave-one-out error {fit.loo_mape:.1%}",
        ]
        if self.segmenter is not None:
            lines[2:2] = [
                f"of that {self.head_ms:.2f} ms are the same in all: {self.segmenter.spec}"
            ]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        return {
            "schema": SCHEMA,
            "header": asdict(self.header),
            "calibration": asdict(self.calibration),
            "segmenter": asdict(self.segmenter) if self.segmenter else None,
            "rows": {name: asdict(row) for name, row in self.rows.items()},
        }

    def save(self, path: Path) -> Path:
        """Write as JSON, one row a line, atomically."""
        data = self.to_dict()
        rows = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in data["rows"].items()]
        rest = json.dumps({k: v for k, v in data.items() if k != "rows"}, indent=1)
        # One row a line: a change of a table can be read in a diff.
        text = rest.removesuffix("\n}") + ',\n "rows": {\n' + ",\n".join(rows) + "\n }\n}\n"
        return runs.write_atomic(path, text)

    @classmethod
    def load(cls, path: Path) -> LatencyTable:
        """Read a file written by :meth:`save`.

        Raises:
            MissingFile: nothing there. InvalidValue: truncated, not a latency table, or with
                impossible numbers (one sentence).
        """
        require_file(
            path, f"no latency table at {path}: make one with `pocketeye measure --out {path}`"
        )
        data = _FILE.read(path)
        with reading(path, _FILE.what, _FILE.remedy):
            table = make(cls, data, complete=True)
            table.require_sound()
        return table

    def require_sound(self) -> None:
        """Raise InvalidValue where what a file says contradicts itself."""
        if not 0 < len(self.rows) <= _MOST_ROWS:
            raise BadField(f"it has {len(self.rows)} rows")
        for name in self.rows:
            PlacedBlock.parse(name)
        rows = [*self.rows.values(), *([self.segmenter.row] if self.segmenter else [])]
        if any(row.timing.undisturbed_ms is None for row in rows):
            raise BadField("a row has no undisturbed time")
        # Made and thrown away: each checks its own numbers.
        make(Protocol, self.header.protocol, "header.protocol")
        SearchSpace.from_dict(self.header.space)
        fit = self.calibration
        if len(fit.networks) != len(fit.measured_ms):
            raise BadField("calibration has not one measured_ms for each of its networks")
        # A forged calibration could make networks cheaper the more blocks they have.
        if fit.gain * min(self._raw_ms.values()) + fit.block_ms <= 0:
            raise BadField("its calibration gives a block no latency")


_FILE = Kind(what="a latency table of pocketeye", schema=SCHEMA, remedy="measure it again")
_MOST_ROWS = 100_000  # the largest space that comes along has 200 blocks
