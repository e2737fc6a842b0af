"""Latency records kept as files: what `pocketeye bench` and `export` measured, here or elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.latency.record import SCHEMA as RECORD

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptLatency:
    """One measured latency of a network, and where and when it was measured."""

    subject: str
    latency_ms: float
    p10_ms: float
    p90_ms: float
    clock: str
    runtime: str
    runtime_version: str
    precision: str
    threads: int
    input_size: int | None
    device: str
    cpus: int
    estimated: bool
    date: str
    file: str

    @property
    def setup(self) -> str:
        """Everything but network, precision and time: latencies of one setup may be compared."""
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        clock = "CPU time of the thread" if self.clock == "thread_cpu" else "wall time"
        return (
            f"{self.runtime} {self.runtime_version}, {threads}, "
            f"{self.device} ({self.cpus} CPUs), {clock}"
        )

    def brief(self, input_size: int | None = None) -> str:
        """``6.16 fp32``; with the size of the image where it is not ``input_size``."""
        at = f"@{self.input_size}" if self.input_size not in (None, input_size) else ""
        return f"{self.latency_ms:.3g} {self.precision}{at}{' est.' if self.estimated else ''}"


def kept_latencies(folder: Path) -> list[KeptLatency]:
    """All records in the JSON files of ``folder``, by file name; other JSON there is passed over."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
            found += [_kept(record, path) for record in _records(data)]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            logger.warning("%s is passed over, it is no record: %s", path, error)
    return found


def by_setup(latencies: Iterable[KeptLatency]) -> dict[str, list[KeptLatency]]:
    """Latencies by their setup, in the order the setups appear."""
    groups: dict[str, list[KeptLatency]] = {}
    for latency in latencies:
        groups.setdefault(latency.setup, []).append(latency)
    return groups


def origin(latencies: Iterable[KeptLatency]) -> str:
    """Files and days of records: ``bench.json (2026-11-22)``."""
    return ", ".join(dict.fromkeys(f"{k.file} ({k.date[:10]})" for k in latencies))


def _records(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict) and data.get("schema") == RECORD:
        yield data
    elif isinstance(data, dict) and isinstance(data.get("rows"), list):
        yield from (r["record"] for r in data["rows"] if isinstance(r, dict) and r.get("record"))


def _kept(record: dict[str, Any], path: Path) -> KeptLatency:
    return KeptLatency(
        subject=record["subject"],
        latency_ms=float(record["latency_ms"]),
        p10_ms=float(record["timing"]["p10_ms"]),
        p90_ms=float(record["timing"]["p90_ms"]),
        clock=record["clock"],
        runtime=record["runtime"],
        runtime_version=record["runtime_version"],
        precision=record["precision"],
        threads=record["threads"],
        input_size=record["input_size"],
        device=record["device"]["cpu"],
        cpus=record["device"]["cpus"],
        estimated=record["estimated"],
        date=record["date"],
        file=path.name,
    )
