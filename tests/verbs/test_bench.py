import csv
import json

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.exporting.bench.table import BenchTable
from pocketeye.latency.device import Device
from pocketeye.verbs.bench import bench
from pocketeye.verbs.export import export
from pocketeye.verbs.list_models import list_models


def test_one_table(tiny, tmp_path) -> None:
    kept = export(str(tiny), out=tmp_path / "kept", samples=2).artifact.folder
    out = tmp_path / "bench"
    result = bench(
        [str(tiny), str(kept)],
        runtimes=("onnxruntime", "torch"),
        precisions=("fp32", "int8"),
        rounds=3,
        samples=4,
        out=out,
    )
    markdown_file, csv_file, json_file = result.written()
    assert json_file.name == f"bench-{Device.here().slug}.json"
    assert BenchTable.load(json_file) == result.table
    cells = [(row.runtime, row.precision) for row in result.table.rows]
    assert cells == [
        ("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("torch", "fp32"), ("torch", "int8"),
        ("onnxruntime", "fp32"),
    ]  # fmt: skip
    failed = result.table.rows[3]
    assert failed.record is None
    assert "not offered by the runtime 'torch'" in (failed.problem or "")
    assert result.table.rows[0].ratio == 1.0
    assert all(r.ratio > 0 for r in result.table.rows if r.ratio)
    assert result.table.rows[4].macs == result.table.rows[0].macs
    with csv_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["precision"] for row in rows] == [precision for _, precision in cells]
    assert float(rows[0]["p10_ms"]) <= float(rows[0]["p50_ms"]) <= float(rows[0]["p90_ms"])
    assert int(rows[0]["n"]) >= 3 * 3
    assert 0 < float(rows[0]["undisturbed_ms"]) <= float(rows[0]["p90_ms"])
    markdown = markdown_file.read_text()
    assert markdown.count("| tiny |") == 5
    assert "measured on" in markdown
    assert "not offered" in markdown
    stored = json.loads(json_file.read_text())
    assert stored["rows"][0]["record"]["latency_ms"] > 0


def test_records_of_a_benchmark_appear_in_the_list(tmp_path) -> None:
    result = bench(["fbnet_96_035_1"], input_size=32, rounds=2, samples=2, out=tmp_path)
    (row,) = list_models("fbnet_96_035_1", results=tmp_path).models
    record = result.table.rows[0].record
    assert record is not None
    assert row.measured[0].record.latency_ms == pytest.approx(record.latency_ms)


def test_bad_input(tmp_path) -> None:
    with pytest.raises(InvalidValue, match="at least one model"):
        bench([], out=tmp_path)
    with pytest.raises(InvalidValue, match="Did you mean 'torch'"):
        bench(["fbnet_c"], runtimes=("torhc",), out=tmp_path)
    for options in ({"data": "digits"}, {"split": "val"}):
        with pytest.raises(
            InvalidValue, match="is for detectors and segmenters, and fbnet_c is none"
        ):
            bench(["fbnet_c"], out=tmp_path, **options)
    with pytest.raises(InvalidValue, match="threads"):
        bench(["fbnet_c"], threads=0, out=tmp_path)
