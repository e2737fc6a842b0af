"""Latency records kept as files: what `pocketeye bench` and `export` measured, here or elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocketeye.latency.record import SCHEMA as RECORD

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptLatency:
    """One measured latency of a network, and where it was measured."""

    subject: str
    latency_ms: float
    runtime: str
    precision: str
    threads: int
    input_size: int | None
    device: str
    file: str

    def __str__(self) -> str:
        return (
            f"{self.latency_ms:.3g} ms · {self.runtime} {self.precision} {self.threads}t · "
            f"{self.device}"
        )


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


def _records(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict) and data.get("schema") == RECORD:
        yield data
    elif isinstance(data, dict) and isinstance(data.get("rows"), list):
        yield from (r["record"] for r in data["rows"] if isinstance(r, dict) and r.get("record"))


def _kept(record: dict[str, Any], path: Path) -> KeptLatency:
    return KeptLatency(
        subject=record["subject"],
        latency_ms=float(record["latency_ms"]),
        runtime=record["runtime"],
        precision=record["precision"],
        threads=record["threads"],
        input_size=record["input_size"],
        device=record["device"]["cpu"],
        file=path.name,
    )
