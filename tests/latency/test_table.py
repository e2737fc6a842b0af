"""Tables: sums, refusals, files of all kinds."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.latency.build import build_table
from pocketeye.latency.calibration import FITS, calibrate
from pocketeye.latency.check import check_table
from pocketeye.latency.device import Device
from pocketeye.latency.plots import plot_check
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.table import LatencyTable
from pocketeye.models.backbones.fbnet import architectures
from pocketeye.results.figures import save_figure
from pocketeye.runtimes import get_runtime
from tests.latency.fakes import SPACE, use_fake_machine

RUNTIME = get_runtime("onnxruntime")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "tiny.latency.json"
    with pytest.MonkeyPatch.context() as patch:
        use_fake_machine(patch, noise=0.02)
        protocol = Protocol(rounds=6, samples=2, extra_rounds=0)
        build_table(SPACE, runtime=RUNTIME, out=path, protocol=protocol)
    return path


@pytest.fixture
def table(path: Path) -> LatencyTable:
    return LatencyTable.load(path)


def test_matrix_and_predict_agree_exactly(table: LatencyTable) -> None:
    costs = table.matrix(SPACE)
    matrix, fixed_ms = costs.ms, costs.fixed_ms
    assert matrix.shape == (SPACE.num_layers, len(SPACE.ops))
    rng = random.Random(0)
    for _ in range(20):
        net = SPACE.sample(rng)
        total = fixed_ms
        for layer, op in enumerate(SPACE.choices(net)):
            total += matrix[layer, SPACE.ops.index(op)]
        assert total == table.predict(net)
    for layer, position in enumerate(SPACE.positions):
        for column, op in enumerate(SPACE.ops):
            assert math.isnan(matrix[layer, column]) == (op not in position.candidates)


def test_range_holds_every_network(table: LatencyTable) -> None:
    low, high = table.matrix(SPACE).range_ms
    rng = random.Random(1)
    predicted = [table.predict(SPACE.sample(rng)) for _ in range(200)]
    assert low <= min(predicted) * (1 + 1e-12)
    assert high >= max(predicted) * (1 - 1e-12)


def test_round_trip(table: LatencyTable, tmp_path: Path) -> None:
    again = LatencyTable.load(table.save(tmp_path / "again.latency.json"))
    assert again == table
    assert again.space() == SPACE
    net = SPACE.sample(random.Random(2))
    assert again.predict(net) == table.predict(net)


def test_require_names_what_differs(table: LatencyTable) -> None:
    table.require(space=SPACE, runtime="onnxruntime", precision="fp32", threads=1)
    with pytest.raises(InvalidValue) as error:
        table.require(runtime="torch", precision="int8", threads=4)
    for part in ("runtime onnxruntime (wanted: torch)", "precision fp32 (wanted: int8)",
                 "threads 1 (wanted: 4)", "pocketeye measure"):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(InvalidValue, match=r"input size 16 \(wanted: 32\)"):
        table.require(space=SPACE.with_(input_size=32))
    with pytest.raises(InvalidValue, match=r"num classes 10 \(wanted: 24\)"):
        table.require(space=SPACE.with_(num_classes=24))
    with pytest.raises(InvalidValue, match=r"width 1.0 \(wanted: 2.0\)"):
        table.require(space=SPACE.with_(width=2.0))
    with pytest.raises(InvalidValue, match=r"lacks k7_e1:8>8/1@8 \(candidates differ\)"):
        table.require(space=replace(SPACE, candidates=(*SPACE.candidates, "k7_e1")))


def test_a_smaller_space_is_served(table: LatencyTable) -> None:
    table.require(space=replace(SPACE, name="smaller", candidates=("k3_e1", "k3_e6")))


def test_foreign_network_is_refused(table: LatencyTable) -> None:
    with pytest.raises(InvalidValue, match=r"no block conv3:3>16/2@224"):
        table.predict(architectures()["fbnet_c"])


def test_require_device(table: LatencyTable) -> None:
    here = Device.here()
    table.require_device(here, RUNTIME.version())
    with pytest.raises(InvalidValue, match="Pocket CPU"):
        table.require_device(replace(here, cpu="Pocket CPU"), RUNTIME.version())
    masked = replace(here, instruction_sets=("avx2",))
    more = replace(
        table, header=replace(table.header, device=replace(here, instruction_sets=("avx2", "fma")))
    )
    with pytest.raises(InvalidValue, match="without fma: check it there"):
        more.require_device(masked, RUNTIME.version())
    with pytest.raises(InvalidValue, match=r"0\.0\.1 is installed"):
        table.require_device(here, "0.0.1")
    updated = replace(table, header=replace(table.header, runtime_version="0.0.1"))
    with pytest.raises(InvalidValue, match="measure the table again"):
        check_table(updated, SPACE, runtime=RUNTIME)


def _at(data: Any, *keys: str) -> Any:
    for key in keys:
        data = data[key]
    return data


def _row(data: Any) -> Any:
    return next(iter(data["rows"].values()))


Break = Callable[[dict[str, Any]], object]
BREAKS: dict[str, Break] = {
    "no rows": lambda d: d.pop("rows"),
    "empty rows": lambda d: d["rows"].clear(),
    "rows a list": lambda d: d.update(rows=[1]),
    "no header": lambda d: d.pop("header"),
    "header a text": lambda d: d.update(header="x"),
    "header key missing": lambda d: d["header"].pop("clock"),
    "header key unknown": lambda d: d["header"].update(evil=1),
    "foreign clock": lambda d: d["header"].update(clock="sun"),
    "protocol unknown": lambda d: d["header"].update(protocol={"evil": 1}),
    "threads a text": lambda d: d["header"].update(threads="1"),
    "device a number": lambda d: d["header"].update(device=3),
    "latency nan": lambda d: _row(d)["timing"].update(undisturbed_ms=math.nan),
    "latency infinite": lambda d: _row(d)["timing"].update(p50_ms=math.inf),
    "latency negative": lambda d: _row(d)["timing"].update(p10_ms=-1),
    "latency a text": lambda d: _row(d)["timing"].update(undisturbed_ms="fast"),
    "latency missing": lambda d: _row(d)["timing"].update(undisturbed_ms=None),
    "latency true": lambda d: _row(d)["timing"].update(undisturbed_ms=True),
    "halves short": lambda d: _row(d).update(halves_ms=[1.0]),
    "row a number": lambda d: d["rows"].update({next(iter(d["rows"])): 1}),
    "row name": lambda d: d["rows"].update({"../../etc": _row(d)}),
    "gain zero": lambda d: d["calibration"].update(gain=0, block_ms=0),
    "block negative": lambda d: d["calibration"].update(block_ms=-1e9),
    "networks a number": lambda d: d["calibration"].update(networks=3),
    "candidates a list": lambda d: d["calibration"].update(candidates=[1]),
    "schema": lambda d: d.update(schema="pocketeye.architecture/1"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_hostile_table_is_one_sentence(path: Path, tmp_path: Path, name: str) -> None:
    data = json.loads(path.read_text())
    BREAKS[name](data)
    bad = tmp_path / "bad.latency.json"
    bad.write_text(json.dumps(data))
    with pytest.raises(InvalidValue, match=r"bad\.latency\.json is not a latency table") as error:
        LatencyTable.load(bad)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"\xff\xfe\x00", b"[" * 200_000, b'{"a": ' + b"9" * 5000 + b"}"],
    ids=["empty", "list", "null", "binary", "deep", "huge number"],
)
def test_foreign_file_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.latency.json"
    bad.write_bytes(content)
    with pytest.raises(InvalidValue, match="is not a latency table"):
        LatencyTable.load(bad)


def test_truncated_table(path: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.latency.json"
    bad.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidValue, match="it is damaged, or no JSON"):
        LatencyTable.load(bad)
    with pytest.raises(MissingFile, match="pocketeye measure --out"):
        LatencyTable.load(tmp_path / "nothing.latency.json")


@pytest.mark.parametrize("stages", [None, 3, [], [1], [{"chs": 8, "depth": 10**9}]])
def test_forged_space_does_not_fill_the_memory(table: LatencyTable, stages: Any) -> None:
    forged = replace(
        table, header=replace(table.header, space={**SPACE.to_dict(), "stages": stages})
    )
    with pytest.raises(InvalidValue, match="no search space"):
        forged.space()


def _fit(measured: np.ndarray, sums: np.ndarray, blocks: np.ndarray) -> Any:
    return calibrate(
        sums.tolist(), blocks.tolist(), measured.tolist(), overhead_ms=0.0, smallest_ms=0.05,
        networks=["n"] * len(sums),
    )  # fmt: skip


def test_calibration_takes_the_plainest_fit_that_explains() -> None:
    rng = np.random.default_rng(0)
    sums, blocks = rng.uniform(3, 9, 16), rng.integers(12, 24, 16).astype(float)
    noise = 1 + 0.01 * rng.standard_normal(16)
    plain = _fit(1.1 * sums * noise, sums, blocks)
    assert plain.fit == "gain"
    assert plain.gain == pytest.approx(1.1, rel=0.01)
    assert plain.block_ms == plain.constant_ms == 0.0
    rich = _fit((1.1 * sums + 0.1 * blocks) * noise, sums, blocks)
    assert rich.fit != "gain"
    assert rich.loo_mape < 0.02
    assert set(rich.candidates) == set(FITS)
    assert plain.mape <= plain.loo_mape < 0.02


def test_calibration_never_makes_a_block_free() -> None:
    rng = np.random.default_rng(0)
    sums, blocks = rng.uniform(8, 9, 16), rng.integers(12, 24, 16).astype(float)
    fit = _fit(1.1 * sums - 0.2 * blocks, sums, blocks)
    assert fit.gain * 0.05 + fit.block_ms > 0
    assert fit.candidates["gain+block"] is None
    with pytest.raises(InvalidValue, match="at least 4"):
        _fit(sums[:3], sums[:3], blocks[:3])


def test_images_name_the_device(
    table: LatencyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_machine(monkeypatch)
    report = check_table(table, SPACE, runtime=RUNTIME, nets=5)
    figure = plot_check(report)
    texts = " ".join(axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes)
    assert table.header.device.cpu in texts
    assert "onnxruntime" in texts
    saved = save_figure(figure, tmp_path / "check.png", 150)
    assert saved.read_bytes().startswith(b"\x89PNG")
    stored = json.loads(report.save(tmp_path / "check.json").read_text())
    assert stored["n"] == 5
    with pytest.raises(InvalidValue, match="at least 3"):
        check_table(table, SPACE, runtime=RUNTIME, nets=2)
