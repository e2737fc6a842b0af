"""The tables of results/ say what their records say, and every record can be loaded."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pocketeye.exporting.bench.table import BenchTable
from pocketeye.latency.record import LatencyRecord
from pocketeye.latency.table import LatencyTable

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "results").glob("*.json"))


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("results")


def test_tables_are_made_from_their_records(results: ModuleType) -> None:
    assert results.stale(results.everything()) == [], "run: make results"


def test_every_table_has_its_record(results: ModuleType) -> None:
    tables = {path.stem for path in (ROOT / "results").glob("*.md")} - {"README"}
    assert tables == {table.name for table in results.TABLES}


def test_a_changed_number_is_noticed(results: ModuleType) -> None:
    texts = results.everything()
    path = ROOT / "results" / f"{results.TABLES[0].name}.md"
    texts[path] = texts[path].replace("6.164", "5.164")
    assert results.stale(texts) == [path]


def records(data: Any) -> Iterator[dict[str, Any]]:
    """Whatever calls itself a latency record, anywhere in a file."""
    if isinstance(data, dict):
        if str(data.get("schema")).startswith("pocketeye.latency-record/"):
            yield data
        for value in data.values():
            yield from records(value)
    elif isinstance(data, list):
        for value in data:
            yield from records(value)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_records_load_and_keep_what_they_say(path: Path) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    for stored in records(data):
        record = LatencyRecord.from_dict(stored)
        assert json.loads(json.dumps(record.to_dict())) == stored
    schema = data.get("schema", "") if isinstance(data, dict) else ""
    if schema.startswith("pocketeye.latency-table/"):
        assert LatencyTable.load(path).to_dict()["header"] is not None
    if schema.startswith("pocketeye.bench/"):
        assert json.loads(json.dumps(BenchTable.load(path).to_dict())) == data
