"""What a library search may cost is divided over its phases, in trainings of one network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketeye.errors import InvalidValue
from pocketeye.models import FBNet, count, load_space
from pocketeye.searching.library.budget import Job, Phases, divide, near_target, work_of
from pocketeye.searching.library.chain import columns
from pocketeye.searching.library.teacher import largest
from tests.searching.toys import SPACE, make_table

JOB = Job(epochs=8, num_images=50_000, kept_back=0.2, batch_size=64, num_ranked=24)
COSTS = make_table(SPACE).matrix(SPACE)
LOW, HIGH = COSTS.range_ms


def phases(
    trainings: float = 3.0, *, given: bool = False, at: float = 0.4, **changes: Any
) -> Phases:
    job = Job(**{**{name: getattr(JOB, name) for name in JOB.__dataclass_fields__}, **changes})
    target = LOW + at * (HIGH - LOW)
    return divide(trainings, job, SPACE, COSTS, target, largest(SPACE), given=given)


def test_the_work_of_a_network_is_that_of_its_parts() -> None:
    work = work_of(SPACE)
    for network in near_target(SPACE, COSTS, (LOW + HIGH) / 2):
        shape = (network.in_chans, network.side, network.side)
        assert work.of(columns(SPACE, network)) == count(FBNet(network), shape).macs
    legal = [[op in position.candidates for op in SPACE.ops] for position in SPACE.positions]
    assert np.array_equal(np.isfinite(work.blocks), legal)


@pytest.mark.parametrize("trainings", [2.0, 3.0])
@pytest.mark.parametrize("at", [0.3, 0.5, 0.8])
def test_the_phases_cost_what_was_given(trainings: float, at: float) -> None:
    assert phases(trainings, at=at).trainings == pytest.approx(trainings, rel=0.2)


def test_a_large_budget_is_not_spent_where_it_buys_nothing() -> None:
    assert phases(30.0).trainings < 15


def test_more_trainings_give_every_phase_more() -> None:
    little, much = phases(1.5), phases(6.0)
    for name in ("teacher_epochs", "steps", "theta_epochs", "tune_steps"):
        assert getattr(little, name) < getattr(much, name), name
    assert (little.trainings, much.trainings) == pytest.approx((1.5, 6.0), rel=0.2)
    assert much.images == pytest.approx(little.images * much.trainings / little.trainings)


def test_teacher_and_library_are_the_same_for_every_target() -> None:
    fast, slow = phases(at=0.2), phases(at=0.9)
    assert (fast.teacher_epochs, fast.epochs, fast.steps) == (
        slow.teacher_epochs, slow.epochs, slow.steps,
    )  # fmt: skip


def test_a_given_teacher_costs_nothing() -> None:
    ours, given = phases(), phases(given=True)
    assert given.teacher_epochs == 0
    assert given.trainings < ours.trainings
    assert given.steps == ours.steps


def test_a_few_images_still_get_one_pass_of_everything() -> None:
    few = phases(0.01, num_images=40, batch_size=8, epochs=1)
    assert min(few.teacher_epochs, few.epochs, few.steps, few.theta_epochs) >= 1
    assert few.tune_steps == 20


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidValue, match="above 0 trainings"):
        phases(0)


def test_searches_of_the_spaces_that_come_along_cost_three_trainings() -> None:
    space = load_space("fbnet-cifar")
    costs = make_table(space).matrix(space)
    target = float(np.mean(costs.range_ms))
    found = divide(3.0, JOB, space, costs, target, largest(space), given=False)
    assert 2.5 < found.trainings < 3.3
    assert found.teacher_epochs >= 3
