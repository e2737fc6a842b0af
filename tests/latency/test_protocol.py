"""The protocol on a machine whose clock we own."""

from __future__ import annotations

import json
import time

import pytest

from pocketeye.errors import InvalidValue
from pocketeye.latency.protocol import Protocol, Samples, measure_interleaved
from pocketeye.latency.record import choose_clock
from tests.latency.fakes import Timed, fake_sample, use_fake_clock


@pytest.fixture
def fake_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_clock(monkeypatch)


def subjects(num: int = 6, noise: float = 0.0) -> dict[str, Timed]:
    return {f"s{i}": Timed(f"s{i}", 0.5 + i, noise) for i in range(num)}


@pytest.mark.usefixtures("fake_clock")
def test_finds_the_latency_below_one_sided_noise() -> None:
    measured = measure_interleaved(subjects(noise=0.2), Protocol(max_anchor=10.0))
    for i, m in enumerate(measured.values()):
        assert m.timing.undisturbed_ms == pytest.approx(0.5 + i, rel=0.03)
        assert m.split_half < 0.03
        assert m.timing.n == 40 * 3
        assert m.timing.p10_ms < m.timing.p50_ms < m.timing.p90_ms
        # Noise of 20 % in the mean: the median of all samples is well above the undisturbed time.
        assert m.timing.p50_ms > 1.1 * m.timing.undisturbed_ms


def test_order_is_shuffled_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def sample(call: Timed, inner: int) -> tuple[float, float]:
        seen.append(call.name)
        return call.sample()

    use_fake_clock(monkeypatch, sample)
    protocol = Protocol(rounds=4, samples=1, extra_rounds=0, anchor_every=100)
    measure_interleaved(subjects(12), protocol, anchor=Timed("anchor", 1.0))
    rounds = " ".join(seen)
    orders = [r.split() for r in rounds.split("anchor") if r.strip()]
    assert len(orders) == 4
    assert all(sorted(set(o)) == sorted(f"s{i}" for i in range(12)) for o in orders)
    assert len({tuple(o) for o in orders}) == 4


def test_interrupted_samples_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(call: Timed, inner: int) -> tuple[float, float]:
        wall, cpu = fake_sample(call, inner)
        # Every third sample lost the processor; its CPU time looks better than it is.
        return (wall * 3, cpu * 0.7) if call.times % 3 == 0 else (wall, cpu)

    use_fake_clock(monkeypatch, sample)
    measured = measure_interleaved(subjects(2), Protocol(rounds=12), anchor=Timed("anchor", 1.0))
    assert measured["s1"].timing.undisturbed_ms == pytest.approx(1.5)
    assert measured["s1"].dropped > 0.2
    assert not measured["s1"].disturbed


def test_slow_spell_is_seen_by_the_anchor_and_taken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = Protocol(rounds=8, samples=1, extra_rounds=8, anchor_every=2, keep=1.0)
    samples = Samples()

    def sample(call: Timed, inner: int) -> tuple[float, float]:
        slow = 2.0 if samples.rounds in (0, 1, 2, 3, 4) else 1.0
        wall, cpu = fake_sample(call, inner)
        return wall * slow, cpu * slow

    use_fake_clock(monkeypatch, sample)
    calls = subjects(6)
    measured = measure_interleaved(calls, protocol, anchor=Timed("anchor", 1.0), samples=samples)
    assert samples.rounds > protocol.rounds
    for i, m in enumerate(measured.values()):
        assert m.timing.undisturbed_ms == pytest.approx(0.5 + i)
        assert m.dropped > 0.3


@pytest.mark.usefixtures("fake_clock")
def test_continued_measurement_equals_a_whole_one() -> None:
    protocol = Protocol(rounds=6, extra_rounds=0)
    whole = measure_interleaved(subjects(), protocol)

    class Stop(Exception):  # noqa: N818
        pass

    kept: list[str] = []

    def stop(samples: Samples) -> None:
        kept.append(json.dumps(samples.to_dict()))
        if samples.rounds == 3:
            raise Stop

    with pytest.raises(Stop):
        measure_interleaved(subjects(), protocol, on_round=stop)
    samples = Samples.from_dict(json.loads(kept[-1]))
    assert samples.rounds == 3
    continued = measure_interleaved(subjects(), protocol, samples=samples)
    assert samples.rounds == 6
    for name, m in whole.items():
        assert continued[name].timing.undisturbed_ms == pytest.approx(m.timing.undisturbed_ms)
        assert continued[name].timing.n == m.timing.n


def test_several_threads_are_timed_by_the_wall() -> None:
    assert choose_clock(2) == "wall"
    fine = time.get_clock_info("thread_time").resolution <= 1e-5
    assert choose_clock(1) == ("thread_cpu" if fine else "wall")


def test_real_clock_orders_real_work() -> None:
    def work(n: int) -> None:
        sum(range(n))

    calls = {"long": lambda: work(200_000), "short": lambda: work(10_000)}
    measured = measure_interleaved(calls, Protocol(rounds=4, extra_rounds=0))
    ratio = measured["long"].timing.undisturbed_ms / measured["short"].timing.undisturbed_ms
    assert ratio > 5  # 20 on a quiet machine
    assert measured["short"].timing.inner >= 2


@pytest.mark.parametrize(
    "settings",
    [{"rounds": 0}, {"samples": 0}, {"keep": 0.0}, {"keep": 1.5}, {"min_sample_ms": 0.0},
     {"max_anchor": 1.0}, {"extra_rounds": -1}],
)  # fmt: skip
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match="protocol"):
        Protocol(**settings)  # type: ignore[arg-type]


def test_nothing_to_measure() -> None:
    assert measure_interleaved({}) == {}
