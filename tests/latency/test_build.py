"""Building a table: arithmetic on a known machine, the real thing on a tiny space."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pocketeye.errors import InvalidValue, UserError
from pocketeye.latency import build, graphs, protocol
from pocketeye.latency.build import build_table, measure_networks
from pocketeye.latency.check import check_table
from pocketeye.latency.drift import measure_session
from pocketeye.latency.graphs import block_module, graph_key, network_module
from pocketeye.latency.noise import require_usable, table_noise
from pocketeye.latency.protocol import Protocol, Samples
from pocketeye.latency.sampling import spread, uniform
from pocketeye.latency.table import LatencyTable
from pocketeye.models.architecture import Architecture, PlacedBlock
from pocketeye.models.space import StageSpec
from pocketeye.runtimes import Artifact, ExportRequest, get_runtime
from tests.latency.fakes import SPACE, true_block_ms, true_network_ms, use_fake_machine

QUICK = Protocol(rounds=4, samples=2, extra_rounds=0)
RUNTIME = get_runtime("onnxruntime")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_machine(monkeypatch)


@pytest.mark.usefixtures("machine")
def test_recovers_a_known_machine(tmp_path: Path) -> None:
    table = build_table(SPACE, runtime=RUNTIME, out=tmp_path / "t.latency.json", protocol=QUICK)
    for placed in SPACE.placed():
        assert table.block_ms(placed) == pytest.approx(true_block_ms(placed), abs=1e-9)
    for net in uniform(SPACE, 20, 99):
        assert table.predict(net) == pytest.approx(true_network_ms(net), rel=1e-3)
    assert table.calibration.fit != "gain"
    assert table.calibration.loo_mape < 1e-3


@pytest.mark.usefixtures("machine")
def test_equal_graphs_once_skips_never_each_op_checked_once(tmp_path: Path) -> None:
    table = build_table(SPACE, runtime=RUNTIME, out=tmp_path / "t.latency.json", protocol=QUICK)
    opened, verified = build.Bench.opened, build.Bench.verified  # type: ignore[attr-defined]
    keys = {graph_key(p) for p in SPACE.placed()} - {""}
    assert len(opened) == len(set(opened)) == len(keys)
    assert sorted(verified) == sorted({"conv3", "head32", *SPACE.candidates} - {"skip"})
    skip = next(p for p in SPACE.placed() if p.spec.op == "skip")
    assert table.block_ms(skip) == 0.0 == table.calibrated_ms(skip)
    # Another spelling of the same block is the same graph.
    respelled = PlacedBlock.parse("k3_e3_g1:8>8/1@8")
    assert table.block_ms(respelled) == table.block_ms(PlacedBlock.parse("k3_e3:8>8/1@8"))


@pytest.mark.usefixtures("machine")
def test_check_of_a_right_table(tmp_path: Path) -> None:
    table = build_table(SPACE, runtime=RUNTIME, out=tmp_path / "t.latency.json", protocol=QUICK)
    report = check_table(table, SPACE, runtime=RUNTIME, nets=20)
    assert report.n == 20
    assert report.mape < 1e-3
    assert report.spearman > 0.999
    assert report.usable
    calibrated = {text.partition("=")[2] for text in table.calibration.networks}
    assert not calibrated & {p.architecture.partition("=")[2] for p in report.points}


def test_a_slower_machine_is_told_from_an_error_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_machine(monkeypatch)
    table = build_table(SPACE, runtime=RUNTIME, out=tmp_path / "t.latency.json", protocol=QUICK)
    monkeypatch.setattr(protocol, "sample", lambda call, inner: (1.5 * call.ms, 1.4 * call.ms))
    nets = uniform(SPACE, 5, 99)
    session = measure_session(table, nets, runtime=RUNTIME, protocol=QUICK)
    assert session.drift == pytest.approx(0.4, abs=1e-3)
    for net, now_ms, then_ms in zip(
        nets, session.latency_ms, session.at_table_speed(), strict=True
    ):
        assert now_ms == pytest.approx(1.4 * true_network_ms(net), rel=1e-2)
        assert then_ms == pytest.approx(true_network_ms(net), rel=1e-2)
    report = check_table(table, SPACE, runtime=RUNTIME, nets=20)
    assert report.mape == pytest.approx(1 - 1 / 1.4, abs=0.01)
    assert report.mape_without_drift < 0.01


def test_noise_above_the_gaps_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_machine(monkeypatch, noise=0.02)
    out = tmp_path / "t.latency.json"
    table = build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK)
    require_usable(table, SPACE)
    assert table_noise(table, SPACE).split_half > 0
    use_fake_machine(monkeypatch, noise=5.0)
    protocol = Protocol(rounds=2, samples=1, extra_rounds=0, keep=1.0, max_anchor=99.0)
    table = build_table(SPACE, runtime=RUNTIME, out=out, protocol=protocol, overwrite=True)
    with pytest.raises(InvalidValue, match=r"too noisy to search with.*measure again"):
        require_usable(table, SPACE)


@pytest.mark.usefixtures("machine")
def test_interrupted_build_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "t.latency.json"
    save = build._Partial.save

    def interrupt(self: build._Partial, samples: Samples) -> None:
        save(self, samples)
        if samples.rounds == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(build._Partial, "save", interrupt)
    with pytest.raises(UserError, match=r"after round 2 of 4.*same command continues"):
        build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK)
    monkeypatch.setattr(build._Partial, "save", save)
    assert not out.exists()
    partial = out.with_name(out.name + ".partial")
    assert partial.exists()
    with pytest.raises(InvalidValue, match=r"begun with another seed"):
        build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK, seed=5)
    table = build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK)
    assert not partial.exists()
    assert table.header.rounds == 4
    whole = build_table(SPACE, runtime=RUNTIME, out=tmp_path / "whole.json", protocol=QUICK)
    assert table.rows == whole.rows


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("text", ["{", "[]", '{"schema": "pocketeye.latency-partial/1"}'])
def test_damaged_partial_is_one_sentence(tmp_path: Path, text: str) -> None:
    out = tmp_path / "t.latency.json"
    out.with_name(out.name + ".partial").write_text(text)
    with pytest.raises(InvalidValue, match=r"t\.latency\.json\.partial is "):
        build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK)


@pytest.mark.usefixtures("machine")
def test_never_overwrites_silently(tmp_path: Path) -> None:
    out = tmp_path / "t.latency.json"
    out.write_text("mine")
    with pytest.raises(InvalidValue, match="--overwrite"):
        build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK)
    assert out.read_text() == "mine"
    build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK, overwrite=True)
    assert LatencyTable.load(out).rows
    with pytest.raises(InvalidValue, match="no folder"):
        build_table(SPACE, runtime=RUNTIME, out=tmp_path / "no" / "t.json", protocol=QUICK)
    with pytest.raises(InvalidValue, match="at least 4"):
        build_table(SPACE, runtime=RUNTIME, out=tmp_path / "u.json", calibration_nets=3)
    with pytest.raises(InvalidValue, match="at least 2 rounds"):
        build_table(SPACE, runtime=RUNTIME, out=tmp_path / "u.json", protocol=Protocol(rounds=1))


def test_networks_are_different_and_spread() -> None:
    nets = spread(SPACE, 16, 0)
    assert len({SPACE.choices(n) for n in nets}) == 16
    assert [str(n) for n in nets] == [str(n) for n in spread(SPACE, 16, 0)]
    times = [true_network_ms(n) for n in nets]
    assert np.mean(times[:5]) < np.mean(times[6:10]) < np.mean(times[-5:])
    small = replace(SPACE, candidates=("k3_e1", "k3_e6"), stages=(StageSpec(chs=8, depth=2),))
    assert len(uniform(small, 100, 0)) == small.num_architectures() == 4


def test_activations_stay_of_the_order_of_one() -> None:
    net = network_module(spread(SPACE, 4, 0)[2])
    scales = []
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.register_forward_hook(lambda m, i, o: scales.append(float(o.abs().max())))
    with torch.no_grad():
        net(torch.randn(1, 3, 16, 16))
    assert len(scales) > 5
    assert min(scales) > 0.1
    assert max(scales) < 50
    assert not net.training


def test_graphs_are_reproducible_and_leave_the_global_generator_alone() -> None:
    placed = PlacedBlock.parse("k3_e3:8>8/1@8")
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = block_module(placed), block_module(placed)
    assert torch.equal(before, torch.random.get_rng_state())
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_real_runtime(tmp_path: Path, precision: graphs.Precision) -> None:
    out = tmp_path / "t.latency.json"
    protocol = Protocol(rounds=3, samples=1, min_sample_ms=0.3, extra_rounds=0)
    table = build_table(
        SPACE, runtime=RUNTIME, out=out, precision=precision, protocol=protocol, calibration_nets=6
    )
    assert LatencyTable.load(out) == table
    assert table.header.precision == precision
    assert 0 < table.header.overhead_ms < 1
    for row in table.rows.values():
        assert row.timing.undisturbed_ms > 0
    low, high = table.matrix(SPACE).range_ms
    assert low < high  # on a busy machine three rounds can fit a constant below 0
    networks: list[Architecture] = uniform(SPACE, 2, 5)
    measured = measure_networks(
        networks, runtime=RUNTIME, threads=1, precision=precision, protocol=protocol
    )
    assert all(m.timing.undisturbed_ms > 0 for m in measured)


def test_torch_runtime_goes_through_its_exporter(tmp_path: Path) -> None:
    bench = graphs.Bench(tmp_path, get_runtime("torch"), 1, "fp32")
    bench.verify(PlacedBlock.parse("k3_e1_g2:8>8/1@8"))
    bench.empty()()
    with pytest.raises(InvalidValue, match="no precision 'int8'"):
        graphs.Bench(tmp_path, get_runtime("torch"), 1, "int8")


def test_a_wrong_export_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = RUNTIME.export

    def wrong(request: ExportRequest, folder: Path) -> Artifact:
        broken = block_module(PlacedBlock.parse("k3_e3:8>8/1@8"), seed=1)
        return right(replace(request, module=broken), folder)

    monkeypatch.setattr(RUNTIME, "export", wrong)
    with pytest.raises(AssertionError, match="differs"):
        graphs.Bench(tmp_path, RUNTIME, 1, "fp32").verify(PlacedBlock.parse("k3_e3:8>8/1@8"))


def test_header_says_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_machine(monkeypatch)
    out = tmp_path / "t.latency.json"
    build_table(SPACE, runtime=RUNTIME, out=out, protocol=QUICK)
    data = json.loads(out.read_text())
    header = data["header"]
    assert data["schema"] == "pocketeye.latency-table/2"
    assert header["device"]["cpu"]
    assert header["runtime_version"] == RUNTIME.version()
    assert header["flags"] == RUNTIME.flags()
    assert header["space"] == SPACE.to_dict()
    assert header["protocol"]["rounds"] == 4
    assert {"layout", "threads", "precision", "clock", "overhead_ms", "date", "git"} <= set(header)
    assert {"fit", "gain", "mape", "loo_mape"} <= set(data["calibration"])
    assert len(data["calibration"]["networks"]) == 16
