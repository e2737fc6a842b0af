import csv
import json

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.verbs.bench.verb import bench
from pocketeye.verbs.export.verb import export
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
    cells = [(row.runtime, row.precision) for row in result.rows]
    assert cells == [
        ("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("torch", "fp32"), ("torch", "int8"),
        ("onnxruntime", "fp32"),
    ]  # fmt: skip
    failed = result.rows[3]
    assert failed.record is None
    assert "not offered by the runtime 'torch'" in (failed.problem or "")
    assert result.rows[0].ratio == 1.0
    assert all(r.ratio > 0 for r in result.rows if r.ratio)
    assert result.rows[4].macs == result.rows[0].macs
    with (out / "bench.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["precision"] for row in rows] == [precision for _, precision in cells]
    assert float(rows[0]["p10_ms"]) <= float(rows[0]["p50_ms"]) <= float(rows[0]["p90_ms"])
    markdown = (out / "bench.md").read_text()
    assert markdown.count("| tiny |") == 5
    assert "measured on" in markdown
    assert "not offered" in markdown
    stored = json.loads((out / "bench.json").read_text())
    assert stored["rows"][0]["record"]["latency_ms"] > 0


def test_records_of_a_benchmark_appear_in_the_list(tmp_path) -> None:
    result = bench(["fbnet_96_035_1"], input_size=32, rounds=2, samples=2, out=tmp_path)
    (row,) = list_models("fbnet_96_035_1", results=tmp_path).models
    record = result.rows[0].record
    assert record is not None
    assert row.measured[0].latency_ms == pytest.approx(record.latency_ms)


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
