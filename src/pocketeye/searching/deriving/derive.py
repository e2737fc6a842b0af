"""Lead from theta to one network: propose, recalibrate, rank, measure.

FBNet samples several networks from the trained distribution and keeps the best (arXiv 1812.03443,
section 3.3). Here K networks are ranked by the accuracy the supernet's weights give them: theta's own
favourite where it is fast enough, and networks predicted just under the target. The top M are measured
end to end in the real runtime. The target is a budget: the most accurate network that keeps it is
chosen, however much faster it is. As many random networks predicted just under the target go the same
way, as the baseline.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from pocketeye import progress
from pocketeye.errors import InvalidValue
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.latency.record import Timing
from pocketeye.models.architecture import Architecture
from pocketeye.models.space import SearchSpace
from pocketeye.searching.batches import Batch, Loss
from pocketeye.searching.deriving.baseline import compare, uniform_logits
from pocketeye.searching.deriving.derived import Candidate, Derived, Round
from pocketeye.searching.deriving.ranking import Judge, SubnetSource
from pocketeye.searching.deriving.sampling import Pool, empty_band, led_by, propose, to_names
from pocketeye.searching.metric import Counts, Metric

logger = logging.getLogger(__name__)

# The best networks by a sum of scores, as columns, within a predicted latency: (budget in ms, how many).
Optimum = Callable[[float, int], Sequence[tuple[int, ...]]]
# Timings of whole networks, and how much slower the machine was than when the table was made.
Measure = Callable[[Sequence[Architecture]], tuple[Sequence[Timing], float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeriveConfig:
    """Say how candidates are found.

    Attributes:
        candidates: K, networks ranked; as many random ones are ranked beside them.
        measure_top: M, best of both kinds measured in the runtime.
        tolerance: how far above the target a measured latency may lie, as a share of it: what is
            measured twice differs by one or two per cent.
        band: candidates are predicted in [1 - band, 1] times the target: slower networks are more
            accurate as a rule, so the budget is to be used up.
        max_rounds: 2 allows one more round, aimed with measured / predicted of the first, where
            fewer than half of the measured candidates kept the budget, or the table made them out
            slower than they are by more than ``band``.
        seed: of every draw.
    """

    candidates: int = 12
    measure_top: int = 6
    tolerance: float = 0.02
    band: float = 0.05
    max_rounds: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("candidates", "measure_top", "max_rounds"):
            if getattr(self, name) < 1:
                raise InvalidValue(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.tolerance < 1:
            raise InvalidValue(
                f"tolerance must be 0 or more and below 1, a share of the target: got {self.tolerance}"
            )
        if not 0 < self.band < 1:
            raise InvalidValue(f"band must be between 0 and 1, got {self.band}")


def derive(
    theta: NDArray[np.float64],
    supernet: SubnetSource,
    space: SearchSpace,
    costs: LatencyMatrix,
    *,
    target_ms: float,
    config: DeriveConfig,
    recalibration: Iterable[Batch],
    held_out: Iterable[Batch],
    measure: Measure,
    device: torch.device,
    metric: Metric | None = None,
    loss: Loss = F.cross_entropy,
    chance: float | None = None,
    optimum: Optimum | None = None,
) -> Derived:
    """Choose the network: see the module's text.

    Args:
        theta: logits (layers, ops), -inf where illegal.
        recalibration: batches (images, ...) for BN statistics; iterated once per network.
        held_out: batches (images, labels) in a fixed order, seen by no weight step.
        measure: whole networks in the runtime, interleaved with each other and with networks that
            tell how fast the machine is now.
        metric: what networks are ranked by, top-1 by default.
        loss: what decides between equals.
        chance: what guessing gives of the metric, for the report.
        optimum: gives half of the candidates, those with the best sums; none are drawn for these.

    Raises:
        InvalidValue: no network lies in the band, or none that was measured keeps the budget; says
            which was the fastest and what to do.
    """
    rng = np.random.default_rng(config.seed)
    judge = Judge(supernet, recalibration, held_out, device, metric, loss)
    rounds: list[Round] = []
    searched: list[Candidate] = []
    random: list[Candidate] = []
    # The table is believed at first; later rounds aim by what measurements said of it.
    ratio = 1.0
    while len(rounds) < config.max_rounds:
        high = target_ms / ratio
        low = high * (1 - config.band)
        best = optimum(high, -(-config.candidates // 2)) if optimum else ()
        pools = _pools(theta, space, costs, low, high, config.candidates, rng, best)
        if not all(pool.choices for pool in pools):
            if rounds:
                break  # the table is so far off that what it was corrected to lies outside the space
            raise InvalidValue(empty_band(low, high, costs))
        new = [
            _rank(_candidates(pools[0], space, costs, "searched", searched), judge),
            _rank(_candidates(pools[1], space, costs, "random", random), judge),
        ]
        new, drift = _measure_top(new, config.measure_top, measure)
        searched, random = _sorted([*searched, *new[0]]), _sorted([*random, *new[1]])
        hits, ratio = len(_within(new[0], target_ms, config.tolerance)), _ratio(new, ratio)
        rounds.append(
            Round(low_ms=low, high_ms=high, draws=pools[0].draws,
                  draws_in_band=pools[0].draws_in_band, random_draws=pools[1].draws,
                  random_draws_in_band=pools[1].draws_in_band, measured_over_predicted=ratio,
                  within=hits, drift=drift)
        )  # fmt: skip
        logger.info("derivation, round %d: %s", len(rounds), rounds[-1])
        used_up = ratio >= 1 - config.band
        # else the table is off for such networks: aim again, corrected by what it missed
        if 2 * hits >= len(new[0][: config.measure_top]) and used_up:
            break
    within = _within(searched, target_ms, config.tolerance)
    if not within:
        raise InvalidValue(_all_too_slow(searched, target_ms, config.tolerance, ratio))
    chosen = min(within)  # they are ranked
    others = _within(random, target_ms, config.tolerance) or [0]
    return Derived(
        target_ms=target_ms,
        tolerance=config.tolerance,
        best_index=chosen,
        candidates=tuple(searched),
        random=tuple(random),
        rounds=tuple(rounds),
        comparison=compare(
            _counts(searched, judge),
            _counts(random, judge),
            metric=judge.metric,
            best=chosen,
            random_best=min(others),
            chance=chance,
        ),
    )


def _pools(
    theta: NDArray[np.float64],
    space: SearchSpace,
    costs: LatencyMatrix,
    low_ms: float,
    high_ms: float,
    count: int,
    rng: np.random.Generator,
    best: Sequence[tuple[int, ...]] = (),
) -> tuple[Pool, Pool]:
    """Draw networks of the band from theta, after those known as ``best``, and as many uniformly."""
    band: dict[str, Any] = {"low_ms": low_ms, "high_ms": high_ms, "count": count, "rng": rng}
    searched = led_by(best, propose(theta, costs, **band), count)
    random = propose(uniform_logits(space), costs, with_argmax=False, sampled_as="random", **band)
    return searched, random


def _rank(candidates: Sequence[Candidate], judge: Judge) -> list[Candidate]:
    """Score candidates, most accurate first (equal: lower loss first)."""
    scored = []
    with progress.task("ranking candidates", len(candidates)) as bar:
        for candidate in candidates:
            counts, loss = judge.score(candidate.architecture)
            score = judge.metric.value(counts)
            scored.append(replace(candidate, supernet_score=score, supernet_loss=loss))
            bar.note(f"{judge.metric.name} {score:.1%}")
            bar.advance()
    return _sorted(scored)


def _sorted(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda c: (-c.supernet_score, c.supernet_loss))


def _counts(candidates: Sequence[Candidate], judge: Judge) -> list[Counts]:
    return [judge.score(c.architecture)[0] for c in candidates]


def _candidates(
    pool: Pool, space: SearchSpace, costs: LatencyMatrix, kind: str, known: Sequence[Candidate]
) -> list[Candidate]:
    """Return the networks of ``pool`` that are not among the ``known`` of an earlier round."""
    # Both rounds may propose the same network: it was ranked and measured already.
    taken = {space.choices(c.architecture) for c in known}
    predicted = costs.predict(np.array(pool.choices))
    result: list[Candidate] = []
    for choices, origin, ms in zip(pool.choices, pool.origins, predicted, strict=True):
        names = to_names(space, choices)
        if tuple(names) in taken:
            continue
        number = len(known) + len(result) + 1
        result.append(
            Candidate(
                architecture=space.architecture(names, f"{kind}-{number}"),
                origin=origin,
                predicted_ms=float(ms),
                supernet_score=float("nan"),
                supernet_loss=float("nan"),
            )
        )
    return result


def _measure_top(
    groups: Sequence[list[Candidate]],
    top: int,
    measure: Measure,
) -> tuple[list[list[Candidate]], float]:
    """Measure the first ``top`` of every group, all in one interleaved session; also its drift."""
    chosen = [candidate for group in groups for candidate in group[:top]]
    results, drift = measure([c.architecture for c in chosen]) if chosen else ((), 0.0)
    timings = iter(results)
    measured = []
    for group in groups:
        timed = [(c, next(timings)) for c in group[:top]]
        done = [replace(c, timing=t, measured_ms=t.latency_ms / (1 + drift)) for c, t in timed]
        measured.append([*done, *group[top:]])
    return measured, drift


def _ratio(groups: Sequence[Sequence[Candidate]], before: float) -> float:
    """Median measured / predicted of the searched networks (the random ones where there are none)."""
    for group in groups:
        ratios = [c.measured_ms / c.predicted_ms for c in group if c.measured_ms is not None]
        if ratios:
            return float(np.median(ratios))
    return before


def _within(ranked: Sequence[Candidate], target_ms: float, tolerance: float) -> list[int]:
    """Return indices of the networks that were measured and keep the budget."""
    return [i for i, candidate in enumerate(ranked) if candidate.keeps(target_ms, tolerance)]


def _all_too_slow(
    searched: Sequence[Candidate], target_ms: float, tolerance: float, ratio: float
) -> str:
    fastest = min(c.measured_ms for c in searched if c.measured_ms is not None)
    return (
        f"no measured network keeps the budget of {target_ms:g} ms (+{tolerance:.0%}): the fastest "
        f"took {fastest:.4g} ms, and measurements are {ratio:.3f} times what the table predicts; "
        "measure the table again on a quiet machine, or raise --tolerance"
    )
