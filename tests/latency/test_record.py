"""Records: saved and loaded, and the machine they are of."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.latency import device as device_module
from pocketeye.latency.device import Device
from pocketeye.latency.record import LatencyRecord, Timing, records_in
from pocketeye.reading import make

WHOLE = Timing(n=30, inner=2, p10_ms=1.6, p50_ms=2.0, p90_ms=3.0, undisturbed_ms=1.5)
RECORD = LatencyRecord(
    subject="net", runtime="onnxruntime", runtime_version="1", threads=1, precision="fp32",
    clock="thread_cpu", timing=WHOLE, stages={"prepare": WHOLE}, flags={"opset": 20},
    protocol={"rounds": 10}, input_size=224,
)  # fmt: skip
CPUINFO = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC
stepping\t: 1
bogomips\t: 4800.00
flags\t\t: fpu sse4_2 avx2 avx512_bf16 fma

processor\t: 1
vendor_id\t: Other
"""


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = RECORD.save(tmp_path / "latency.json")
    assert LatencyRecord.load(path) == RECORD
    data = json.loads(path.read_text())
    assert data["device"]["cpu"] == Device.here().cpu
    assert data["latency_ms"] == RECORD.latency_ms == 1.5
    assert data["timing"]["p90_ms"] == 3.0
    assert [filed.file for filed in records_in(tmp_path)] == ["latency.json"]


def test_lines_name_both_kinds_of_milliseconds() -> None:
    first, second = RECORD.lines()
    assert "1.500 ms undisturbed" in first
    assert "p50 2.000 ms (p10 1.600, p90 3.000)" in first
    assert "prepare 1.5 ms (100%)" in second


def test_records_without_all_samples_say_only_what_they_know() -> None:
    old = replace(
        RECORD, stages={},
        timing=Timing(undisturbed_ms=1.5, undisturbed_quantiles_ms=(1.4, 1.5, 1.7)),
    )  # fmt: skip
    assert LatencyRecord.from_dict(json.loads(json.dumps(old.to_dict()))) == old
    assert "p50 — ms" in old.lines()[0]
    medians = {name: Timing(p50_ms=2.0) for name in ("prepare", "network")}
    assert replace(old, timing=Timing(), stages=medians).latency_ms == 4.0


Break = Callable[[dict[str, Any]], object]
BREAKS: dict[str, Break] = {
    "schema": lambda d: d.update(schema="pocketeye.latency-record/1"),
    "no device": lambda d: d.pop("device"),
    "unknown key": lambda d: d.update(evil=1),
    "foreign clock": lambda d: d.update(clock="sun"),
    "no time at all": lambda d: d.update(timing=dict.fromkeys(d["timing"]), stages={}),
    "negative time": lambda d: d["timing"].update(p50_ms=-1.0),
    "true for a number": lambda d: d["timing"].update(n=True),
    "stage a number": lambda d: d.update(stages={"prepare": 3}),
    "instruction sets a text": lambda d: d["device"].update(instruction_sets="avx"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_hostile_record_is_one_sentence(tmp_path: Path, name: str) -> None:
    data = json.loads(json.dumps(RECORD.to_dict()))
    BREAKS[name](data)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(data))
    with pytest.raises(InvalidValue, match=r"bad\.json .*record") as error:
        LatencyRecord.load(bad)
    assert "\n" not in str(error.value)
    assert records_in(tmp_path) == []


def test_no_record_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no latency record"):
        LatencyRecord.load(tmp_path / "latency.json")


def test_processors_of_one_name_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    for index, (level, kind, size) in enumerate(
        [("1", "Data", "32K"), ("1", "Instruction", "64K"), ("2", "Unified", "1M")]
    ):
        folder = tmp_path / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        for name, text in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(text + "\n")
    monkeypatch.setattr(device_module, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(device_module, "CACHES", tmp_path / "cache")
    monkeypatch.setattr(device_module, "MAX_CLOCK", tmp_path / "clock")
    monkeypatch.setattr(device_module.provenance, "cpu_name", lambda: "AMD EPYC")
    here = Device.here()
    assert (here.vendor, here.family, here.model, here.stepping) == ("AuthenticAMD", 25, 17, 1)
    assert here.instruction_sets == ("sse4_2", "avx2", "fma", "avx512_bf16")
    assert (here.l1d_bytes, here.l2_bytes, here.l3_bytes) == (32 * 1024, 1024**2, None)
    assert here.slug == "amd-epyc-f25m17"
    assert "family 25, model 17" in str(here)
    assert not here.same_as(replace(here, family=26, model=2))
    # A virtual machine that hides one of the instruction sets is slower.
    hidden = replace(here, instruction_sets=here.instruction_sets[:-1])
    assert hidden.lacks(here) == ("avx512_bf16",)
    assert not here.same_as(hidden)
    assert not hidden.same_as(here)
    assert here.same_as(replace(here, instruction_sets=()))
    assert here.clock_mhz == 2400
    (tmp_path / "clock").write_text("3700123\n")
    assert Device.here().clock_mhz == 3700
    assert here.same_as(replace(here, os="updated"))
    # An older record knows the name alone.
    assert here.same_as(replace(here, vendor=None, family=None, model=None, stepping=None))
    assert make(Device, json.loads(json.dumps(asdict(here)))) == here


@pytest.mark.parametrize(
    ("cpu", "slug"),
    [
        ("Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz", "intel-xeon-platinum-8488c"),
        ("Apple M3 Pro", "apple-m3-pro"),
        ("", "arm64"),
    ],
)
def test_names_for_files(cpu: str, slug: str) -> None:
    assert Device(cpu=cpu, cpus=8, os="x", machine="arm64").slug == slug
