"""Candidates from theta: the band, BN recalibration, ranking, measuring, the random baseline."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.latency.record import Timing
from pocketeye.models.architecture import Architecture
from pocketeye.models.space import StageSpec
from pocketeye.searching.deriving.baseline import compare, uniform_logits
from pocketeye.searching.deriving.derive import DeriveConfig, derive
from pocketeye.searching.deriving.derived import Derived
from pocketeye.searching.deriving.ranking import recalibrate_bn
from pocketeye.searching.deriving.sampling import (
    LatencyMatrix,
    check_target,
    log_softmax,
    most_probable,
    mutate,
    propose,
    to_names,
)
from pocketeye.searching.supernet.supernet import SuperNet

from .toys import SPACE as TOY

OP_MS = {"k3_e1": 1.0, "k3_e3": 2.1, "k5_e3": 2.6, "k3_e6": 4.3, "skip": 0.0}
# Deeper, and without the grouped block: what a network takes can be reckoned in the head.
SPACE = replace(
    TOY,
    stages=(StageSpec(chs=8, depth=3), StageSpec(chs=16, depth=3, stride=2)),
    candidates=tuple(OP_MS),
)


@pytest.fixture
def costs() -> LatencyMatrix:
    ms = np.array(
        [[OP_MS[op] if op in p.candidates else np.nan for op in SPACE.ops] for p in SPACE.positions]
    )
    return LatencyMatrix(ms=ms, fixed_ms=0.5)


@pytest.fixture
def theta() -> np.ndarray:
    logits = uniform_logits(SPACE)
    logits[:, SPACE.ops.index("k3_e3")] += 1.5
    return logits


def predict(architecture: Architecture) -> float:
    return 0.5 + sum(OP_MS[block.op] for block in architecture.blocks)


class BrightnessNet(nn.Module):
    """Knows the class from the mean brightness if its first block has kernel 5."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.knows = architecture.blocks[0].op == "k5_e3"
        self.bn = nn.BatchNorm2d(1, affine=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.bn(images)
        level = (
            images.mean((1, 2, 3)).round().long()
            if self.knows
            else images.new_zeros(len(images)).long()
        )
        return nn.functional.one_hot(level, 4).float() * 10


class FakeSupernet:
    def __init__(self) -> None:
        self.built = 0

    def subnet(self, architecture: Architecture) -> nn.Module:
        self.built += 1
        return BrightnessNet(architecture)


def batches(count: int = 3) -> list[tuple[torch.Tensor, torch.Tensor]]:
    labels = torch.arange(16) % 4
    return [(labels.view(-1, 1, 1, 1).float().expand(-1, 1, 8, 8), labels) for _ in range(count)]


def timing(ms: float) -> Timing:
    return Timing(n=3, inner=1, p10_ms=ms, p50_ms=ms, p90_ms=ms, undisturbed_ms=ms)


def run(
    theta, costs, *, gain=1.0, drift=0.0, target_ms=12.0, **settings
) -> tuple[Derived, list[int]]:
    sessions: list[int] = []

    def measure(architectures):
        sessions.append(len(architectures))
        return [timing(gain * (1 + drift) * predict(a)) for a in architectures], drift

    result = derive(
        theta,
        FakeSupernet(),
        SPACE,
        costs,
        target_ms=target_ms,
        config=DeriveConfig(**{"candidates": 8, "measure_top": 3} | settings),
        recalibration=batches(),
        held_out=batches(),
        measure=measure,
        device=torch.device("cpu"),
    )
    return result, sessions


def test_draws_follow_theta_inside_the_band(costs: LatencyMatrix, theta: np.ndarray) -> None:
    pool = propose(theta, costs, low_ms=11.4, high_ms=12.0, count=40, rng=np.random.default_rng(0))
    latency = costs.predict(np.array(pool.choices))
    assert len(set(pool.choices)) == len(pool.choices) == 40
    assert ((latency >= 11.4) & (latency <= 12.0)).all()
    assert pool.draws_in_band < pool.draws  # some did miss the band
    share = np.mean([to_names(SPACE, c).count("k3_e3") for c in pool.choices]) / SPACE.num_layers
    assert share > 0.4  # uniform would be near 0.2


def test_same_seed_same_networks(costs: LatencyMatrix, theta: np.ndarray) -> None:
    first, second = (
        propose(theta, costs, low_ms=11.4, high_ms=12.0, count=10, rng=np.random.default_rng(5))
        for _ in range(2)
    )
    assert first == second


def test_peaked_theta_far_from_the_band_is_mutated_and_says_so(costs: LatencyMatrix) -> None:
    logits = uniform_logits(SPACE)
    logits[:, SPACE.ops.index("k3_e6")] += 60.0  # every draw is the slowest network
    pool = propose(
        logits, costs, low_ms=11.4, high_ms=12.0, count=5, rng=np.random.default_rng(0),
        max_draws=500,
    )  # fmt: skip
    assert pool.choices
    assert set(pool.origins) <= {"mutated", "constrained"}
    assert "mutated" in pool.origins
    assert pool.draws_in_band == 0
    latency = costs.predict(np.array(pool.choices))
    assert ((latency >= 11.4) & (latency <= 12.0)).all()


def test_argmax_outside_the_band_is_exchanged_for_the_most_probable_inside(
    costs: LatencyMatrix,
) -> None:
    logits = uniform_logits(SPACE)
    logits += np.random.default_rng(7).normal(0, 2, logits.shape)
    logp = log_softmax(logits)
    assert not 8.0 <= costs.predict(logp.argmax(1)[None])[0] <= 9.0
    got = most_probable(logp, costs, 8.0, 9.0)
    legal = [[c for c in range(len(SPACE.ops)) if np.isfinite(row[c])] for row in logp]
    everything = np.array(list(itertools.product(*legal)))
    latency = costs.predict(everything)
    inside = everything[(latency >= 8.0) & (latency <= 9.0)]
    rows = np.arange(SPACE.num_layers)
    best = inside[logp[rows, inside].sum(1).argmax()]
    assert got == tuple(best)
    assert most_probable(logp, costs, 0.1, 0.2) is None  # faster than stem and head
    assert most_probable(logp, costs, 90.0, 95.0) is None


def test_mutation_prefers_probable_blocks(costs: LatencyMatrix) -> None:
    logits = uniform_logits(SPACE)
    logits[:, SPACE.ops.index("k5_e3")] += 8.0
    start = np.full(SPACE.num_layers, SPACE.ops.index("k3_e1"))  # 6.5 ms, band one step up
    moved = mutate(start, log_softmax(logits), costs, 7.5, 8.2, np.random.default_rng(0))
    assert moved is not None
    assert to_names(SPACE, moved).count("k5_e3") == 1


def test_mutation_gives_up_where_no_walk_ends_in_the_band(costs: LatencyMatrix) -> None:
    start = np.full(SPACE.num_layers, SPACE.ops.index("k3_e6"))
    logp = log_softmax(uniform_logits(SPACE))
    assert mutate(start, logp, costs, 0.1, 0.2, np.random.default_rng(0)) is None


def test_recalibration_is_the_mean_over_batches() -> None:
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5))
    network[0].running_mean.fill_(99.0)
    data = [(torch.full((4, 1, 2, 2), float(level)),) for level in (1, 2, 6)]
    assert recalibrate_bn(network, data, torch.device("cpu")) == 12
    assert network[0].running_mean.item() == pytest.approx(3.0)
    assert network[0].momentum == 0.1
    assert not network.training
    assert not network[0].training


def test_recalibration_leaves_out_a_small_last_batch() -> None:
    network = nn.BatchNorm2d(1)
    data = [(torch.ones(4, 1, 2, 2),), (torch.full((1, 1, 2, 2), 50.0),)]
    assert recalibrate_bn(network, data, torch.device("cpu")) == 4
    assert network.running_mean.item() == pytest.approx(1.0)


def test_best_ranked_measured_network_is_chosen(costs: LatencyMatrix, theta: np.ndarray) -> None:
    theta[0, SPACE.ops.index("k5_e3")] += 1.0
    result, sessions = run(theta, costs)
    assert result.best.supernet_score == 1.0
    assert result.best.architecture.blocks[0].op == "k5_e3"
    assert abs(result.best.off_target(12.0)) <= 0.05
    assert abs(result.best.prediction_error) <= 0.05
    assert sessions == [6]  # both kinds in one interleaved session
    assert [c.measured_ms is not None for c in result.candidates] == [True] * 3 + [False] * 5
    top1 = [c.supernet_score for c in result.candidates]
    assert top1 == sorted(top1, reverse=True)
    assert {c.origin for c in result.random} <= {"random", "mutated"}
    assert len(result.random) == len(result.candidates) == 8


def test_the_real_supernet_is_ranked_and_left_alone(
    costs: LatencyMatrix, theta: np.ndarray
) -> None:
    torch.manual_seed(0)
    supernet = SuperNet(SPACE)
    before = {k: v.clone() for k, v in supernet.state_dict().items()}
    data = [(torch.randn(8, 1, 8, 8), torch.arange(8) % 4) for _ in range(2)]
    result = derive(
        theta, supernet, SPACE, costs, target_ms=12.0,
        config=DeriveConfig(candidates=3, measure_top=2),
        recalibration=data, held_out=data, device=torch.device("cpu"),
        measure=lambda architectures: ([timing(predict(a)) for a in architectures], 0.0),
    )  # fmt: skip
    assert len(result.candidates) == len(result.random) == 3
    assert result.comparison.num_images == 16
    assert len({c.supernet_loss for c in result.candidates}) == 3
    assert all(np.isfinite(c.supernet_loss) for c in result.candidates)
    for key, value in supernet.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_a_table_that_is_off_gets_one_corrected_round(
    costs: LatencyMatrix, theta: np.ndarray
) -> None:
    result, sessions = run(theta, costs, gain=1.2)
    first, second = result.rounds
    assert first.within == 0
    assert first.measured_over_predicted == pytest.approx(1.2)
    assert second.high_ms == pytest.approx(10.0)
    assert abs(result.best.off_target(12.0)) <= 0.05
    assert result.best.prediction_error == pytest.approx(1 / 1.2 - 1)
    assert len(sessions) == 2
    names = [c.architecture.name for c in result.candidates]
    assert len(set(names)) == len(names) == 16  # both rounds, nothing twice
    assert len({c.architecture.blocks for c in result.candidates}) == 16
    top1 = [c.supernet_score for c in result.candidates]
    assert top1 == sorted(top1, reverse=True)


def test_none_within_the_budget_names_the_fastest(costs: LatencyMatrix, theta: np.ndarray) -> None:
    theta[:, SPACE.ops.index("k3_e6")] += 9.0  # its favourite is far too slow
    with pytest.raises(InvalidValue, match=r"budget of 12 ms.* fastest .*1[3-5]") as error:
        run(theta, costs, gain=1.2, max_rounds=1)
    assert "1.200 times" in str(error.value)


def test_a_faster_and_better_network_is_chosen(costs: LatencyMatrix, theta: np.ndarray) -> None:
    theta[:, SPACE.ops.index("k3_e1")] += 9.0
    theta[0, SPACE.ops.index("k5_e3")] += 20.0  # what knows the classes here
    result, _ = run(theta, costs, max_rounds=1)
    assert result.best.origin == "argmax"
    assert result.best.measured_ms == pytest.approx(0.5 + 2.6 + 5 * 1.0)  # a third below the budget
    assert result.best.supernet_score == 1.0


def test_what_measures_faster_than_predicted_is_kept_and_the_budget_used_up(
    costs: LatencyMatrix, theta: np.ndarray
) -> None:
    result, sessions = run(theta, costs, gain=0.7)
    first, second = result.rounds
    assert first.within == 3  # each of them far below
    assert second.high_ms == pytest.approx(12.0 / 0.7)
    assert len(sessions) == 2
    assert all(c.keeps(12.0, 0.02) for c in result.candidates if c.measured_ms is not None)
    assert result.best.supernet_score == max(
        c.supernet_score for c in result.candidates if c.measured_ms is not None
    )


def test_a_budget_is_none_for_what_lies_above_it(costs: LatencyMatrix, theta: np.ndarray) -> None:
    result, _ = run(theta, costs, tolerance=0.0)
    measured = [c for c in result.candidates if c.measured_ms is not None]
    assert result.best.measured_ms <= 12.0
    candidate = replace(measured[0], measured_ms=12.1)
    assert candidate.keeps(12.0, 0.02)
    assert not candidate.keeps(12.0, 0.005)
    assert replace(candidate, measured_ms=None).keeps(12.0, 0.02) is None


def test_drift_is_taken_out_of_time_and_percentiles_alike(
    costs: LatencyMatrix, theta: np.ndarray
) -> None:
    result, _ = run(theta, costs, drift=0.25)
    best = result.best
    assert best.drift == pytest.approx(0.25)
    assert best.timing.p10_ms == pytest.approx(1.25 * best.measured_ms)
    assert best.spread_ms == pytest.approx((best.measured_ms, best.measured_ms))
    assert replace(best, timing=None, measured_ms=None).spread_ms is None


def test_derived_round_trips_through_json(costs: LatencyMatrix, theta: np.ndarray) -> None:
    import json

    result, _ = run(theta, costs)
    assert Derived.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_target_outside_the_space_says_the_range(costs: LatencyMatrix) -> None:
    low, high = costs.range_ms
    assert low == pytest.approx(0.5 + 1.0)  # skips everywhere but where the stride is
    assert high == pytest.approx(0.5 + 6 * 4.3)
    with pytest.raises(InvalidValue, match=r"99 ms .*slowest .*1\.5 to 26\.3"):
        check_target(99.0, costs, "a phone")
    with pytest.raises(InvalidValue, match="below the fastest"):
        check_target(0.2, costs, "a phone")
    check_target(12.0, costs, "a phone")


def test_comparison_by_hand() -> None:
    ours = [np.array([True, True, True, False])]
    theirs = [np.array([True, False, True, False]), np.array([False, False, True, False])]
    got = compare(ours, theirs)
    assert got.searched_best == 0.75
    assert got.random_mean == pytest.approx(0.375)
    assert got.random_mean_se == pytest.approx(0.125)  # sd 0.17678 / sqrt(2)
    assert got.difference == pytest.approx(0.25)
    assert got.difference_se == pytest.approx(0.5 / math.sqrt(4))
    assert "no difference beyond two standard errors" in got.sentence()
    other = compare(ours, theirs, random_best=1)
    assert other.difference == pytest.approx(0.5)
    assert compare(ours, theirs[:1]).random_mean_se is None
    assert "nan" not in compare([o[:1] for o in ours], [theirs[0][:1]]).sentence()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"candidates": 0}, "at least 1"),
        ({"tolerance": 1.5}, "0 or more and below 1"),
        ({"band": 0.0}, "between 0 and 1"),
    ],
)
def test_config_says_what_is_allowed(settings: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        DeriveConfig(**settings)
