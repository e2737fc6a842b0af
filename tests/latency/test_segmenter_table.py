"""Tables of segmenters: pyramid and head as one row, maps that are no squares."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pocketeye.errors import InvalidValue, UserError
from pocketeye.latency import build
from pocketeye.latency.build import build_table
from pocketeye.latency.check import check_table
from pocketeye.latency.graphs import Bench, MapsToPixels, input_shape, neck_and_head, network_module
from pocketeye.latency.protocol import Protocol, Samples, sample
from pocketeye.latency.sampling import uniform
from pocketeye.latency.table import LatencyTable
from pocketeye.models.dense.pixel_head import map_layers, map_shapes
from pocketeye.models.dense.semantic import create_semantic
from pocketeye.models.space import SearchSpace
from pocketeye.runtimes import get_runtime
from pocketeye.searching.deriving.sampling import check_target
from tests.latency.fakes import (
    DENSE_SPACE,
    HEAD_MS,
    SEGMENTER,
    SPACE,
    true_block_ms,
    true_network_ms,
    use_fake_machine,
)

QUICK = Protocol(rounds=4, samples=2, extra_rounds=0)
RUNTIME = get_runtime("onnxruntime")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LatencyTable:
    use_fake_machine(monkeypatch)
    out = tmp_path / "t.latency.json"
    return build_table(DENSE_SPACE, runtime=RUNTIME, out=out, protocol=QUICK, segmenter=SEGMENTER)


def test_recovers_a_known_machine(table: LatencyTable) -> None:
    for placed in DENSE_SPACE.placed(with_head=False):
        assert table.block_ms(placed) == pytest.approx(true_block_ms(placed), abs=1e-9)
    assert table.segmenter is not None
    assert not any(name.startswith("head") for name in table.rows)
    for net in uniform(DENSE_SPACE, 20, 99):
        assert table.predict(net) == pytest.approx(true_network_ms(net, segmenter=True), rel=1e-3)
        constant = table.calibration.constant_ms
        assert sum(table.layer_ms(net)) + constant == pytest.approx(table.predict(net))
    assert table.head_ms == pytest.approx(1.1 * HEAD_MS + 0.02, rel=0.02)


def test_matrix_and_predict_agree(table: LatencyTable) -> None:
    costs = table.matrix(DENSE_SPACE)
    matrix, fixed_ms = costs.ms, costs.fixed_ms
    assert fixed_ms > table.head_ms
    for net in uniform(DENSE_SPACE, 5, 3):
        columns = [DENSE_SPACE.ops.index(op) for op in DENSE_SPACE.choices(net)]
        total = fixed_ms + sum(matrix[layer, column] for layer, column in enumerate(columns))
        assert total == pytest.approx(table.predict(net))


def test_file_round_trips_and_refuses_what_is_not_there(
    table: LatencyTable, tmp_path: Path
) -> None:
    path = table.save(tmp_path / "again.latency.json")
    assert LatencyTable.load(path) == table
    assert LatencyTable.load(path).space() == DENSE_SPACE
    data = json.loads(path.read_text())
    del data["segmenter"]["spec"]["fpn_channels"]
    path.write_text(json.dumps(data))
    with pytest.raises(InvalidValue, match="fpn_channels"):
        LatencyTable.load(path)


def test_check_measures_segmenters(table: LatencyTable) -> None:
    report = check_table(table, DENSE_SPACE, runtime=RUNTIME, nets=10)
    assert report.mape < 1e-3
    assert report.drift == pytest.approx(0.0, abs=1e-3)


def test_another_head_is_another_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_machine(monkeypatch)
    out = tmp_path / "new.latency.json"
    save = build._Partial.save

    def interrupt(self: build._Partial, samples: Samples) -> None:
        save(self, samples)
        raise KeyboardInterrupt

    monkeypatch.setattr(build._Partial, "save", interrupt)
    with pytest.raises(UserError, match="same command continues"):
        build_table(DENSE_SPACE, runtime=RUNTIME, out=out, protocol=QUICK, segmenter=SEGMENTER)
    wider = replace(SEGMENTER, head_channels=16)
    with pytest.raises(InvalidValue, match=r"begun with another segmenter:"):
        build_table(DENSE_SPACE, runtime=RUNTIME, out=out, protocol=QUICK, segmenter=wider)


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        (replace(DENSE_SPACE, in_chans=1), "a segmenter sees 3 channels"),
        (DENSE_SPACE.with_(input_size=(31, 64)), "32 pixels or more, got 64x31"),
    ],
)
def test_a_space_of_no_segmenters_is_refused(
    space: SearchSpace, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        build_table(space, runtime=RUNTIME, out=tmp_path / "t.latency.json", segmenter=SEGMENTER)


def test_a_space_without_the_maps_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="maps at strides 4, 8, 16, 32"):
        build_table(SPACE, runtime=RUNTIME, out=tmp_path / "t.latency.json", segmenter=SEGMENTER)


def test_target_below_the_head_says_what_the_head_takes(table: LatencyTable) -> None:
    costs = table.matrix(DENSE_SPACE)
    with pytest.raises(InvalidValue, match=r"narrower pyramid and head, which take 1\.0\d"):
        check_target(0.5, costs, "here", fixed=table.head_ms)
    with pytest.raises(InvalidValue, match="above the slowest") as caught:
        check_target(500.0, costs, "here", fixed=table.head_ms)
    assert "narrower" not in str(caught.value)


def test_the_head_that_is_timed_is_that_of_the_whole_network() -> None:
    """With the same weights, the maps of a backbone through it give the logits of the segmenter."""
    net = uniform(DENSE_SPACE, 1, 0)[0]
    whole = create_semantic(
        net, SEGMENTER.num_classes, norms="live", fpn_channels=SEGMENTER.fpn_channels,
        channels=SEGMENTER.head_channels, full_size=False,
    ).eval()  # fmt: skip
    alone = MapsToPixels(DENSE_SPACE, SEGMENTER).eval()
    alone.head.head.load_state_dict(whole.head.state_dict())
    for mine, theirs in zip(
        alone.head.pyramid.parameters(), whole.backbone.fpn.parameters(), strict=True
    ):
        mine.data.copy_(theirs)
    x = torch.randn(1, *input_shape(net))
    with torch.no_grad():
        maps = whole.backbone.body(x)
        assert [tuple(m.shape[1:]) for m in maps] == map_shapes(DENSE_SPACE)
        assert [m.shape[1] for m in maps] == list(map_layers(DENSE_SPACE).values())
        torch.testing.assert_close(alone(*maps), whole(x), rtol=1e-4, atol=1e-5)


def test_modules_are_drawn_the_same_every_time() -> None:
    net = uniform(DENSE_SPACE, 1, 0)[0]
    x = torch.randn(1, *input_shape(net))
    maps = [torch.randn(1, *shape) for shape in map_shapes(DENSE_SPACE)]
    with torch.no_grad():
        first, second = (network_module(net, segmenter=SEGMENTER)(x) for _ in range(2))
        torch.testing.assert_close(first, second)
        one, other = (neck_and_head(DENSE_SPACE, SEGMENTER)(*maps) for _ in range(2))
        torch.testing.assert_close(one, other)
    assert first.shape == (1, 3, 16, 24)
    assert first.std() > 0.01  # statistics are those of a batch, nothing decays


def test_a_real_runtime_takes_the_four_maps(tmp_path: Path) -> None:
    call = Bench(tmp_path, RUNTIME, 1, "fp32", SEGMENTER).neck_and_head(DENSE_SPACE)
    wall_ms, _ = sample(call, 3)
    assert 0 < wall_ms < 1000


@pytest.mark.slow
def test_a_real_table_predicts_real_segmenters(tmp_path: Path) -> None:
    table = build_table(
        replace(DENSE_SPACE, candidates=("k3_e1", "k5_e3", "skip")), runtime=RUNTIME,
        out=tmp_path / "t.latency.json", protocol=Protocol(rounds=3, samples=2, extra_rounds=0),
        calibration_nets=4, segmenter=SEGMENTER,
    )  # fmt: skip
    assert 0 < table.head_ms < min(table.calibration.measured_ms)
    low, high = table.matrix(table.space()).range_ms
    assert low <= min(table.calibration.measured_ms) * 1.5
    assert high >= max(table.calibration.measured_ms) / 1.5
