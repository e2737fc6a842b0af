"""Latency records kept as files: what `pocketeye bench` and `export` measured, here or elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pocketeye.errors import InvalidValue
from pocketeye.latency.record import SCHEMA, LatencyRecord

logger = logging.getLogger(__name__)


class FiledRecord(NamedTuple):
    """A record and the name of the file it is in."""

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
            data: Any = json.loads(path.read_text(encoding="utf-8"))
            found += [FiledRecord(LatencyRecord.from_dict(d), path.name) for d in _records(data)]
        except (json.JSONDecodeError, UnicodeDecodeError, InvalidValue) as error:
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
