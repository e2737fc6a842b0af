"""Find the best sums of scores under a latency budget, exactly: an integer program.

One binary variable for every candidate of every layer, one of each layer chosen, the latencies of the
table adding up to the budget at most (LANA, arXiv 2107.10624, equation 3). Further networks follow by
forbidding those found.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from pocketeye.errors import InvalidValue
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.models.space import SearchSpace


def best_networks(
    scores: NDArray[np.float64],
    costs: LatencyMatrix,
    *,
    high_ms: float,
    count: int = 1,
    min_changes: int = 1,
) -> list[tuple[int, ...]]:
    """Return the networks with the smallest sums of scores within the budget, best first.

    Args:
        scores: what each candidate costs, (layers, ops), NaN where illegal.
        costs: the latencies, of the same shape.
        high_ms: the budget, with stem and head.
        count: how many at most; fewer come back where the budget holds no more.
        min_changes: layers in which each differs from all before it.
    """
    legal = np.isfinite(scores) & np.isfinite(costs.ms)
    layers, ops = np.nonzero(legal)
    one_each = csr_array((np.ones(len(layers)), (layers, np.arange(len(layers)))))
    constraints = [
        LinearConstraint(one_each, 1, 1),
        LinearConstraint(costs.ms[legal][None], -np.inf, high_ms - costs.fixed_ms),
    ]
    found: list[tuple[int, ...]] = []
    while len(found) < count:
        result = milp(
            scores[legal],
            constraints=constraints,
            integrality=np.ones(len(layers)),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": 0.0},
        )
        if result.x is None:
            break
        chosen = result.x > 0.5  # the solver leaves rounding errors on whole numbers
        found.append(tuple(int(op) for op in ops[chosen]))
        most = scores.shape[0] - min_changes
        constraints.append(LinearConstraint(chosen.astype(np.float64)[None], -np.inf, most))
    return found


def total(scores: NDArray[np.float64], choices: tuple[int, ...]) -> float:
    """Return the sum of scores of a network."""
    return float(scores[np.arange(len(scores)), list(choices)].sum())


def require_choice(target_ms: float, space: SearchSpace, costs: LatencyMatrix) -> None:
    """Refuse a target at which every layer that may be skipped has to be.

    Raises:
        InvalidValue: with the smallest target that leaves a choice.
    """
    if "skip" not in space.ops:
        return
    column = space.ops.index("skip")
    fastest = np.nanmin(costs.ms, axis=1)
    spare = [
        np.nanmin(np.delete(row, column)) - low
        for position, row, low in zip(space.positions, costs.ms, fastest, strict=True)
        if position.candidates != ("skip",) and "skip" in position.candidates
    ]
    least = costs.range_ms[0] + min(spare, default=0.0)
    if target_ms < least:
        raise InvalidValue(
            f"only a network that skips every layer it can meets {target_ms:g} ms, so there is nothing "
            f"to choose: give a target of {least:.3g} ms or more"
        )
