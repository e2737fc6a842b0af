"""The integer program against all networks, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pocketeye.errors import InvalidValue
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.searching.choosing.choose import best_networks, require_choice, total
from tests.searching.toys import SPACE, make_table


def made_up(seed: int) -> tuple[np.ndarray, LatencyMatrix]:
    costs = make_table().matrix(SPACE)
    scores = np.random.default_rng(seed).uniform(0, 1, costs.ms.shape)
    return np.where(np.isfinite(costs.ms), scores, np.nan), costs


def every_network() -> np.ndarray:
    columns = [[SPACE.ops.index(op) for op in p.candidates] for p in SPACE.positions]
    return np.array(list(itertools.product(*columns)))


@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_is_that_of_all_networks(seed: int) -> None:
    scores, costs = made_up(seed)
    networks = every_network()
    sums = scores[np.arange(4), networks].sum(1)
    budget = float(np.quantile(costs.predict(networks), 0.3 + 0.1 * seed))
    inside = costs.predict(networks) <= budget
    expected = networks[inside][np.argsort(sums[inside])[:5]]
    found = best_networks(scores, costs, high_ms=budget, count=5)
    assert found == [tuple(row) for row in expected.tolist()]
    assert total(scores, found[0]) == pytest.approx(sums[inside].min())


def test_networks_differ_where_they_are_told_to() -> None:
    scores, costs = made_up(9)
    found = best_networks(scores, costs, high_ms=9.0, count=6, min_changes=3)
    assert len(found) == 6
    for a, b in itertools.combinations(found, 2):
        assert sum(x != y for x, y in zip(a, b, strict=True)) >= 3


def test_a_budget_below_all_networks_gives_none() -> None:
    scores, costs = made_up(0)
    assert best_networks(scores, costs, high_ms=costs.range_ms[0] - 0.1) == []


def test_a_target_that_only_skips_can_meet_is_refused() -> None:
    costs = make_table().matrix(SPACE)
    low = costs.range_ms[0]
    with pytest.raises(InvalidValue, match="only a network that skips"):
        require_choice(low + 0.01, SPACE, costs)
    cheapest = min(float(np.nanmin(np.delete(costs.ms[layer], SPACE.ops.index("skip"))))
                   for layer in (0, 1, 3))  # fmt: skip
    require_choice(low + cheapest + 0.001, SPACE, costs)
