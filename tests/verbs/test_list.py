import json
import logging

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.latency.record import LatencyRecord
from pocketeye.runtimes import Timing
from pocketeye.verbs.list_models import list_models


def record(ms: float) -> LatencyRecord:
    timing = Timing(n=3, inner=1, p10_ms=ms, p50_ms=ms, p90_ms=ms, cpu_p50_ms=ms)
    return LatencyRecord(
        subject="fbnet_96_035_1",
        runtime="onnxruntime",
        runtime_version="1",
        threads=1,
        precision="fp32",
        clock="wall",
        timing=timing,
    )


def test_counts_and_records(tmp_path) -> None:
    record(0.5).save(tmp_path / "a.json")
    bench = {"rows": [{"record": record(0.25).to_dict()}, {"record": None}]}
    (tmp_path / "b.json").write_text(json.dumps(bench))
    (tmp_path / "table.json").write_text('{"schema": "something else"}')
    result = list_models("fbnet_96*", results=tmp_path)
    (row,) = result.models
    assert (row.params, row.input_size) == (1_845_384, 96)
    assert [kept.latency_ms for kept in row.measured] == [0.5, 0.25]
    text = "\n".join(result.lines())
    assert "0.5 ms · onnxruntime fp32 1t" in text
    assert "0.25 ms" in text


def test_damaged_record_is_named(tmp_path, caplog) -> None:
    (tmp_path / "broken.json").write_text("{")
    with caplog.at_level(logging.WARNING, logger="pocketeye"):
        assert list_models("fbnet_96*", results=tmp_path).models[0].measured == ()
    assert "broken.json" in caplog.text


def test_timm_by_name() -> None:
    names = [row.name for row in list_models("mobilenetv2_*", include_timm=True).models]
    assert "mobilenetv2_100" in names


def test_nothing_matches() -> None:
    with pytest.raises(
        InvalidValue, match=r"no network matches 'fbnet-a'\. Did you mean 'fbnet_a'"
    ):
        list_models("fbnet-a")
