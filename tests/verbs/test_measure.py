"""The verb ``measure``: a table, its check, and what it refuses."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.latency.device import Device
from pocketeye.latency.noise import TableNoise
from pocketeye.latency.table import LatencyTable
from pocketeye.models import load_space
from pocketeye.verbs.measure import measure
from pocketeye.verbs.measure.result import MeasureResult
from tests.latency.fakes import DENSE_SPACE, SEGMENTER, SPACE, use_fake_machine

HERE = Device.here().slug


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    use_fake_machine(monkeypatch)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my space.yaml"
    path.write_text(yaml.safe_dump(SPACE.to_dict()))
    return str(path)


def made(space: str) -> MeasureResult:
    return measure(space, rounds=3, out=Path("t.latency.json"))


def test_writes_a_table_and_says_what_to_run(space: str) -> None:
    result = made(space)
    assert result.written() == [Path("t.latency.json")]
    table = LatencyTable.load(Path("t.latency.json"))
    assert table.header.protocol["rounds"] == 3
    check, search = (shlex.split(c) for c in result.next_commands())
    assert check == ["pocketeye", "measure", "--check", "t.latency.json"]
    assert search[:5] == ["pocketeye", "search", "--table", "t.latency.json", "--target-ms"]
    low, high = table.matrix(SPACE).range_ms
    assert low < float(search[5]) < high
    data = json.loads(json.dumps(result.to_dict()))
    assert data["num_rows"] == len(table.rows)
    assert data["usable"] is True
    assert data["check"] is None
    assert table.header.device.cpu in " ".join(result.lines())


def test_default_name_and_no_silent_overwrite(space: str) -> None:
    result = measure(space, rounds=2)
    assert result.table_path == Path(f"tiny-16-onnxruntime-fp32-{HERE}.latency.json")
    with pytest.raises(InvalidValue, match="--overwrite"):
        measure(space, rounds=2)
    measure(space, rounds=2, overwrite=True)


def test_options_change_the_space(space: str) -> None:
    result = measure(space, rounds=2, input_size=32, num_classes=7, width=2.0)
    assert result.table.header.space["input_size"] == 32
    assert result.table.header.space["num_classes"] == 7
    assert result.table.header.space["width"] == 2.0


def test_a_plus_in_the_name_of_a_space_stays_whole(space: str) -> None:
    result = measure("fbnet+casvit-cifar", rounds=2)
    assert result.table_path == Path(f"fbnet+casvit-cifar-32-onnxruntime-fp32-{HERE}.latency.json")
    loaded = LatencyTable.load(result.table_path)
    assert loaded.space() == load_space("fbnet+casvit-cifar")
    assert sum(row.startswith("add_e") for row in loaded.rows) == 2 * 6
    noisy = replace(result, noise=TableNoise(noise_ms=0.2, gap_ms=0.1, split_half=0.3))
    *_, again = (shlex.split(c) for c in noisy.next_commands())
    assert again[:3] == ["pocketeye", "measure", "fbnet+casvit-cifar"]
    checked = measure(check=result.table_path, nets=6)
    assert all(path.name.startswith("fbnet+casvit-cifar") for path in checked.written())


def test_check_writes_a_image_and_a_report(space: str) -> None:
    made(space)
    result = measure(check=Path("t.latency.json"), nets=20)
    assert result.check is not None
    assert result.check.n == 20
    assert result.check.mape < 1e-3
    assert abs(result.check.drift) < 1e-9
    assert [p.name for p in result.written()] == ["t.latency.check.png", "t.latency.check.json"]
    assert all(p.is_file() for p in result.written())
    stored = json.loads(Path("t.latency.check.json").read_text())
    assert stored["spearman"] > 0.999
    assert json.loads(json.dumps(result.to_dict()))["check"]["n"] == 20
    assert any("MAPE" in line for line in result.lines())


def test_a_checked_table_leads_to_a_search_of_the_same_space(space: str) -> None:
    """Neither the name of an own space nor --input-size is lost on the way."""
    measure(space, rounds=2, input_size=32, out=Path("t.latency.json"))
    (command,) = measure(check=Path("t.latency.json"), nets=4).next_commands()
    assert shlex.split(command)[:4] == ["pocketeye", "search", "--table", "t.latency.json"]


def test_a_noisy_table_leads_to_a_longer_measurement(space: str) -> None:
    measured = measure(space, rounds=2, input_size=32, out=Path("t.latency.json"))
    noisy = TableNoise(noise_ms=0.2, gap_ms=0.1, split_half=0.3)
    result = replace(measured, noise=noisy)
    assert any("TOO NOISY" in line for line in result.lines())
    *_, again = (shlex.split(c) for c in result.next_commands())
    assert again[:3] == ["pocketeye", "measure", space]
    assert {"--overwrite", "--rounds", "6", "--input-size", "32"} <= set(again)


def test_refusals(space: str) -> None:
    with pytest.raises(InvalidValue, match="Did you mean 'fbnet'"):
        measure("fbnett")
    with pytest.raises(InvalidValue, match="Did you mean 'onnxruntime'"):
        measure(space, runtime="onnxruntme")
    with pytest.raises(MissingFile, match="no latency table"):
        measure(check=Path("nothing.latency.json"))
    with pytest.raises(InvalidValue, match="threads must be at least 1"):
        measure(space, threads=0)
    with pytest.raises(InvalidValue, match="rounds must be at least 2"):
        measure(space, rounds=0)
    made(space)
    with pytest.raises(InvalidValue, match="rounds must be at least 2"):
        measure(check=Path("t.latency.json"), rounds=0)
    with pytest.raises(InvalidValue, match="use one of them"):
        measure(check=Path("t.latency.json"), out=Path("u.latency.json"))
    text = Path("t.latency.json").read_text()
    Path("t.latency.json").write_text(text[: len(text) // 2])
    with pytest.raises(InvalidValue, match="it is damaged"):
        measure(check=Path("t.latency.json"))


@pytest.fixture
def dense_space(space: str) -> str:
    path = Path(space).with_name("dense.yaml")
    path.write_text(yaml.safe_dump(DENSE_SPACE.to_dict()))
    return str(path)


def test_segmenters_are_measured_whole(dense_space: str) -> None:
    result = measure(
        dense_space, task="semantic", num_classes=3, input_size="128x96", fpn_channels=16,
        head_channels=8, rounds=3,
    )  # fmt: skip
    assert result.table_path == Path(
        f"tiny-dense-semantic-128x96-onnxruntime-fp32-{HERE}.latency.json"
    )
    table = LatencyTable.load(result.table_path)
    assert table.segmenter is not None
    assert table.segmenter.spec == SEGMENTER
    assert table.space().input_size == (96, 128)
    data = json.loads(json.dumps(result.to_dict()))
    assert data["segmenter"] == {"num_classes": 3, "fpn_channels": 16, "head_channels": 8}
    assert f"{table.head_ms:.2f} ms are the same in all" in " ".join(result.lines())
    *_, search = (shlex.split(c) for c in result.next_commands())
    assert search[-2:] == ["--data", "MASKS"]
    noisy = replace(result, noise=TableNoise(noise_ms=0.2, gap_ms=0.1, split_half=0.3))
    *_, again = (shlex.split(c) for c in noisy.next_commands())
    options = dict(zip(again[4::2], again[5::2], strict=True))
    assert again[:4] == ["pocketeye", "measure", dense_space, "--overwrite"]
    # also what is the space's own, as segmenters have no default
    assert options["--task"] == "semantic"
    assert options["--input-size"] == "128x96"
    assert options["--num-classes"] == "3"
    assert (options["--fpn-channels"], options["--head-channels"]) == ("16", "8")


def test_what_segmenters_need_is_said(dense_space: str) -> None:
    with pytest.raises(InvalidValue, match="needs --num-classes, of the pixels, and --input-size"):
        measure(dense_space, task="semantic", num_classes=3)
    with pytest.raises(InvalidValue, match="needs --num-classes"):
        measure(dense_space, task="semantic", input_size="480x360")
    with pytest.raises(InvalidValue, match=r"classifiers see squares, got the size 480x360"):
        measure(dense_space, input_size="480x360")
    with pytest.raises(InvalidValue, match="a size is a number of pixels"):
        measure(dense_space, input_size="wide")
    with pytest.raises(InvalidValue, match="--fpn-channels means nothing to --task classify"):
        measure(dense_space, input_size=96, fpn_channels=16)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"fpn_channels": 4}, "fpn_channels must be at least 8"),
        ({"input_size": 24}, "a segmenter sees images of 32 pixels or more"),
    ],
)
def test_no_table_that_a_search_would_refuse(
    dense_space: str, options: dict[str, Any], sentence: str
) -> None:
    asked: dict[str, Any] = {"task": "semantic", "num_classes": 3, "input_size": 96, **options}
    with pytest.raises(InvalidValue, match=sentence):
        measure(dense_space, **asked)
    assert not list(Path().glob("*.latency.json*"))


def test_the_space_of_a_trained_network_is_measured(
    space: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its table is for `search --network`, which the next command says."""
    from pocketeye.searching.library import network as networks

    asked: list[tuple[str, Any]] = []

    def opened(name: str, size: Any) -> Any:
        asked.append((name, size))
        return type("Opened", (), {"space": SPACE})

    monkeypatch.setattr(networks, "open_network", opened)
    result = measure(network="a run", input_size=32, rounds=2, out=Path("n.latency.json"))
    assert asked == [("a run", 32)]
    assert result.table.header.space == SPACE.to_dict()
    assert "search --network 'a run' --table n.latency.json" in result.next_commands()[-1]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"space": space}, "--space means nothing to --network"),
        ({"width": 2.0}, "--width means nothing to --network"),
        ({"task": "semantic"}, "sees squares"),
        ({"input_size": "48x32"}, "sees squares"),
    ]
    for settings, words in cases:
        with pytest.raises(InvalidValue, match=words):
            measure(**{"network": "a run", "out": Path("o.latency.json"), **settings})
