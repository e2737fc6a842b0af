"""Objectives, their elasticity, and that a hard target is reached."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, strategies as st
from torch import Tensor

from pocketeye.errors import InvalidValue
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.learning import schedule
from pocketeye.searching.objective import (
    FBNetObjective,
    Objective,
    PowerObjective,
    TargetControl,
    TargetObjective,
)
from pocketeye.searching.supernet.theta import Theta, generator, gumbel

ALL: list[Objective] = [
    FBNetObjective(),
    PowerObjective(target_ms=9.0, exponent=0.3),
    TargetObjective(target_ms=9.0),
    TargetObjective(target_ms=9.0, weight=0.7),
]


def scalars(*values: float) -> list[Tensor]:
    return [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]


def float_of(loss: Tensor) -> float:
    return float(loss.detach())


def test_fbnet_is_equation_2() -> None:
    ce, latency = scalars(1.7, 23.1)
    expected = 1.7 * 0.2 * math.log(23.1) ** 0.6
    assert float_of(FBNetObjective()(ce, latency)) == pytest.approx(expected)
    assert FBNetObjective().elasticity(23.1, 1.7) == pytest.approx(0.191, abs=5e-4)
    assert float_of(FBNetObjective()(ce, latency, pressure=0.0)) == pytest.approx(1.7 * 0.2)


def test_other_formulas() -> None:
    ce, latency = scalars(2.0, 12.0)
    assert float_of(ALL[1](ce, latency)) == pytest.approx(2.0 * (12 / 9) ** 0.3)
    assert float_of(ALL[2](ce, latency, pressure=-0.4)) == pytest.approx(2.0 - 0.4 / 3)
    assert float_of(ALL[3](ce, latency)) == pytest.approx(2.0 + 0.7 / 3)
    (below,) = scalars(6.0)
    assert float_of(ALL[3](ce, below, pressure=0.5)) == pytest.approx(2.0 + 0.35 / 3)


@pytest.mark.parametrize("objective", ALL)
@given(
    ce=st.floats(0.01, 10), latency=st.floats(1.1, 100), pressure=st.floats(0.05, 1),
)  # fmt: skip
def test_elasticity_is_the_ratio_of_the_gradients(
    objective: Objective, ce: float, latency: float, pressure: float
) -> None:
    inputs = scalars(ce, latency)
    objective(inputs[0], inputs[1], pressure).backward()
    d_ce, d_latency = (float(t.grad) for t in inputs if t.grad is not None)
    assume(abs(latency / 9.0 - 1) > 1e-9)  # the kink of the absolute value
    expected = latency * d_latency / (ce * d_ce)
    assert objective.elasticity(latency, ce, pressure) == pytest.approx(expected, rel=1e-6)


def test_fbnet_refuses_spaces_that_reach_one_millisecond() -> None:
    FBNetObjective().check((1.01, 9.0))
    with pytest.raises(InvalidValue, match=r"0\.7 to 9 ms.*'target' or 'power'"):
        FBNetObjective().check((0.7, 9.0))


def drive(target_ms: float, *, steps: int = 600, price: float = 0.0) -> list[float]:
    """Expected latency over theta steps where CE is constant, or sinks by ``price`` a relative
    latency; the temperature falls from 5 to 0.14 as in a search."""
    rng = np.random.default_rng(0)
    ms = torch.from_numpy(np.sort(rng.uniform(0.0, 2.0, (12, 9)), axis=1))
    theta = Theta(torch.ones(12, 9, dtype=torch.bool), ms, 1.0)
    optimiser = torch.optim.Adam(theta.parameters(), lr=0.05)
    objective, control, integral, course = (
        TargetObjective(target_ms=target_ms),
        TargetControl(),
        0.0,
        [],
    )
    for step in range(steps):
        temperature = 5.0 * (0.137 / 5.0) ** (step / steps)
        weights = theta.mixture(gumbel((12, 9), generator(step)), temperature)
        latency = theta.latency(weights)
        ce = 2.0 - price * latency / target_ms
        gap = course[-1] / target_ms - 1 if course else 0.0
        optimiser.zero_grad()
        objective(ce, latency, control.multiplier(integral, gap)).backward()
        optimiser.step()
        course.append(float_of(theta.latency(theta.probabilities())))
        integral = control.integrate(integral, course[-1] / target_ms - 1)
    return course


@pytest.mark.parametrize(
    ("target_ms", "price"), [(6.0, 0.8), (13.0, 0.0), (13.0, 0.8), (19.0, 0.8)]
)
def test_target_moves_expected_latency_to_the_target(target_ms: float, price: float) -> None:
    """From both sides, and also where CE rewards latency by an unknown price."""
    course = drive(target_ms, price=price)
    assert abs(course[0] / target_ms - 1) > 0.01
    assert np.mean(course[-50:]) == pytest.approx(target_ms, rel=0.01)
    assert course[-1] == pytest.approx(target_ms, rel=0.03)


def test_temperature_schedules() -> None:
    paper = SearchConfig.paper()
    assert schedule.temperature(paper, 10) == 5.0
    assert schedule.temperature(paper, 11) == pytest.approx(5.0 * math.exp(-0.045))
    fast = SearchConfig(epochs=30, warmup_epochs=8, target_ms=1.0)
    assert schedule.temperature(fast, 8) == 5.0
    assert schedule.temperature(fast, 29) == pytest.approx(schedule.temperature(paper, 89))


def test_pressure_rises_after_warm_up() -> None:
    config = SearchConfig(epochs=30, warmup_epochs=8, ramp_epochs=4, target_ms=1.0)
    values = [schedule.ramp(config, epoch) for epoch in (0, 7, 8, 9, 11, 12, 29)]
    assert values == [0.0, 0.0, 0.25, 0.5, 1.0, 1.0, 1.0]
    assert schedule.ramp(SearchConfig.paper(), 0) == 1.0


def test_settings_of_the_paper() -> None:
    paper = SearchConfig.paper()
    assert (paper.epochs, paper.warmup_epochs, paper.batch_size) == (90, 10, 192)
    assert (paper.lr, paper.momentum, paper.weight_decay) == (0.1, 0.9, 1e-4)
    assert paper.theta_rates == (0.01, 5e-4)
    assert (paper.temperature, paper.theta_fraction) == (5.0, 0.2)
    assert isinstance(paper.build_objective(), FBNetObjective)
    assert not paper.begins_aligned


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mode": "fats"}, "Did you mean 'fast'"),
        ({"objective": "targt"}, "Did you mean 'target'"),
        ({"target_ms": None}, "needs a target in ms"),
        ({"target_ms": -1.0}, "target_ms must be above 0"),
        ({"target_ms": math.nan}, "target_ms must be above 0"),
        ({"warmup_epochs": 40}, "below epochs"),
        ({"theta_fraction": 1.0}, "between 0 and 1"),
        ({"batch_size": 0}, "batch_size must be above 0"),
        ({"ramp_epochs": -1}, "ramp_epochs must be 0 or more"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidValue, match=sentence):
        SearchConfig(**{"target_ms": 1.0, **changes})  # type: ignore[arg-type]
