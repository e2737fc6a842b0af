"""Record a measurement: the number, and everything one needs to trust or repeat it."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pocketeye import provenance, runs
from pocketeye.errors import UserError
from pocketeye.latency.device import Device
from pocketeye.reading import (
    BadField,
    Count,
    Kind,
    NonNegative,
    Pixels,
    Range,
    make,
    make_mapping,
    read_json,
    reading,
    require_file,
)

logger = logging.getLogger(__name__)

SCHEMA = "pocketeye.latency-record/2"

Clock = Literal["thread_cpu", "wall"]
CLOCKS: tuple[Clock, ...] = ("thread_cpu", "wall")
UNDISTURBED = (
    "undisturbed ms: the median of the fastest 15 % of the clean samples, what a call takes while "
    "nobody else uses the machine"
)
PERCENTILES = "p10, p50, p90: wall time of all samples"


def choose_clock(threads: int, remote: bool = False) -> Clock:
    """Choose the clock that decides: CPU time of the calling thread for one thread, else wall time.

    A ``remote`` device has wall time alone.

    Thread CPU time is blind to other processes, which wall time on a shared machine is not. It is
    also blind to a second worker thread, and useless where the system counts it in ticks.
    """
    # Windows counts thread time in steps of 16 ms: useless for samples of a millisecond.
    fine = time.get_clock_info("thread_time").resolution <= 1e-5
    return "thread_cpu" if threads == 1 and fine and not remote else "wall"


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Hold milliseconds of one call.

    A new measurement fills every field but the last. None stands in records of files made before the
    percentiles were of all samples, whose samples are gone.

    Attributes:
        n: number of samples.
        inner: calls in a row of every sample.
        p10_ms, p50_ms, p90_ms: percentiles of the wall time of all samples, nothing left out.
        undisturbed_ms: the median of the fastest samples (:class:`~pocketeye.latency.protocol.Protocol`
            says how many), by the clock of the record: what a call takes while nobody else uses the
            machine. Tables, calibration and ratios use this one.
        undisturbed_quantiles_ms: only of those older files: 10th, 50th and 90th percentile of the wall
            time of the fastest samples alone. They say nothing about the slow ones.
    """

    n: Count | None = None
    inner: Count | None = None
    p10_ms: NonNegative | None = None
    p50_ms: NonNegative | None = None
    p90_ms: NonNegative | None = None
    undisturbed_ms: NonNegative | None = None
    undisturbed_quantiles_ms: tuple[NonNegative, NonNegative, NonNegative] | None = None

    @property
    def latency_ms(self) -> float:
        """Return the number that stands for the call: undisturbed, or the median if only that is known.

        Raises:
            ValueError: neither is known.
        """
        found = self.p50_ms if self.undisturbed_ms is None else self.undisturbed_ms
        if found is None:
            raise ValueError("this timing has neither an undisturbed time nor a median")
        return found


def ms_text(ms: float | None, digits: int = 3) -> str:
    """Write milliseconds for a table; a dash where the number is not known."""
    return "—" if ms is None else f"{ms:.{digits}f}"


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyRecord:
    """Hold one measured latency with its origin.

    Attributes:
        subject: name of what was timed.
        clock: what ``timing.undisturbed_ms`` was read from.
        timing: of the whole.
        stages: of its parts, where it has some: a detector prepares, runs its network, decodes.
        input_size: of square images, in pixels.
        estimated: marks a value nobody timed.
        disturbed: too few clean samples were left, so that all were used.
    """

    subject: str
    runtime: str
    runtime_version: str
    threads: Annotated[int, Range(1, 1e5)]
    precision: str
    clock: Clock
    timing: Timing
    stages: dict[str, Timing] = field(default_factory=dict)
    # Filled in by themselves: a record without its origin cannot be made by forgetting.
    device: Device = field(default_factory=Device.here)
    flags: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    input_size: Pixels | None = None
    estimated: bool = False
    disturbed: bool = False
    date: str = field(default_factory=provenance.now)
    git: str | None = field(default_factory=provenance.git_hash)

    @property
    def latency_ms(self) -> float:
        """Return the number that stands for it: of the whole, or the sum of known stages."""
        if self.stages and self.timing.undisturbed_ms is None and self.timing.p50_ms is None:
            return sum(stage.latency_ms for stage in self.stages.values())
        return self.timing.latency_ms

    @property
    def setup(self) -> str:
        """Describe all but subject, precision and time: latencies of one setup may be compared."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        clock = "CPU time of the thread" if self.clock == "thread_cpu" else "wall time"
        return f"{self.runtime} {self.runtime_version}, {threads}, {self.device}, {clock}"

    def brief(self, input_size: int | None = None) -> str:
        """Return ``6.16 fp32``; with the size of the image where it is not ``input_size``."""
        at = f"@{self.input_size}" if self.input_size not in (None, input_size) else ""
        return f"{self.latency_ms:.3g} {self.precision}{at}{' est.' if self.estimated else ''}"

    def lines(self) -> list[str]:
        """Say it to a person: one sentence, and one more on the stages."""
        t = self.timing
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        p10, p50, p90, undisturbed = (
            ms_text(ms) for ms in (t.p10_ms, t.p50_ms, t.p90_ms, t.undisturbed_ms)
        )
        lines = [
            f"latency {undisturbed} ms undisturbed; of all samples p50 {p50} ms (p10 {p10}, "
            f"p90 {p90}) · {self.runtime} {self.runtime_version} · {self.precision} · {threads} · "
            f"{self.device.cpu}"
        ]
        total = sum(stage.latency_ms for stage in self.stages.values())
        shares = "; ".join(
            f"{name} {stage.latency_ms:.1f} ms ({stage.latency_ms / total:.0%})"
            for name, stage in self.stages.items()
        )
        return [*lines, f"of that, undisturbed: {shares}"] if shares else lines

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they are stored."""
        return {"schema": SCHEMA, "latency_ms": self.latency_ms, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LatencyRecord:
        """Read back what :meth:`to_dict` gave.

        Raises:
            InvalidValue: another schema, or a key that is missing, unknown or of the wrong kind.
        """
        try:
            stored = make_mapping(data)
            if stored.pop("schema", None) != SCHEMA:
                raise BadField(f"its schema is {data.get('schema')!r:.60}")
            stored.pop("latency_ms", None)  # follows from the timing
            record = make(cls, stored, complete=True)
            # A record with no number at all is refused here, and not where it is shown.
            _ = record.latency_ms
        except ValueError as error:
            raise BadField(f"it is no latency record: {error}") from error
        return record

    def save(self, path: Path) -> Path:
        """Write the record as JSON, atomically."""
        return runs.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: Path) -> LatencyRecord:
        """Read a file written by :meth:`save`.

        Raises:
            MissingFile: nothing there. InvalidValue: truncated, or no latency record (one sentence).
        """
        require_file(path, f"no latency record at {path}")
        data = _FILE.read(path)
        with reading(path, _FILE.what, _FILE.remedy):
            return cls.from_dict(data)


_FILE = Kind(what="a latency record", remedy="measure again")


class FiledRecord(NamedTuple):
    """Pair a record with the name of the file it is in."""

    record: LatencyRecord
    file: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for ``--json``."""
        return {**self.record.to_dict(), "setup": self.record.setup, "file": self.file}


def records_in(folder: Path) -> list[FiledRecord]:
    """Read all records in the JSON files of ``folder``, by file name; other JSON is passed over.

    A record is a whole file or stands in the rows of a benchmark.
    """
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            data = read_json(path)
            found += [FiledRecord(LatencyRecord.from_dict(d), path.name) for d in _records(data)]
        except UserError as error:
            # One bad file must not hide the others.
            logger.warning("%s is passed over, it is no record: %s", path, error)
    return found


def by_setup(records: Iterable[FiledRecord]) -> dict[str, list[FiledRecord]]:
    """Group records by their setup, in the order the setups appear."""
    groups: dict[str, list[FiledRecord]] = {}
    for filed in records:
        groups.setdefault(filed.record.setup, []).append(filed)
    return groups


def origin(records: Iterable[FiledRecord]) -> str:
    """Name files and days of records: ``bench-amd-epyc.json (2026-11-22)``."""
    return ", ".join(dict.fromkeys(f"{r.file} ({r.record.date[:10]})" for r in records))


def _records(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict) and data.get("schema") == SCHEMA:
        yield data
    elif isinstance(data, dict) and isinstance(data.get("rows"), list):
        yield from (r["record"] for r in data["rows"] if isinstance(r, dict) and r.get("record"))
