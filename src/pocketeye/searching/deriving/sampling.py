"""Draw networks inside a latency band from theta.

Theta of a finished search is a distribution, not a network. Three sources are used, in this order:

1. the argmax, unless it is slower than the band; where it misses the band, also the most probable
   network of the band;
2. draws from ``softmax(theta)`` that lie in the band, out of at most ``max_draws``: this samples
   theta *given* the band, without bias;
3. local mutations of networks that missed it (and, where all draws are alike, of those found):
   one layer at a time is changed so that the predicted latency comes nearer to the middle of the
   band, the change chosen at random in proportion to its probability under theta relative to the
   block it replaces.

Every network carries its origin (``argmax``, ``constrained`` to the band, ``sampled``,
``mutated``; ``optimum`` where an integer program found it), so nothing is pulled into the band unseen.
Latencies come from an additive table, hence as a matrix of layers by ops.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pocketeye.errors import InvalidValue
from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.models.space import SearchSpace

Origin = Literal["optimum", "argmax", "constrained", "sampled", "mutated", "random"]
# Networks drawn at once: large enough for numpy to be quick, small enough to stop soon.
_CHUNK = 2048


def check_target(target_ms: float, costs: LatencyMatrix, where: str, fixed: float = 0.0) -> None:
    """Refuse a target that no network of the space can have.

    Args:
        where: device, runtime and precision the latencies hold for, for the sentence.
        fixed: milliseconds that pyramid and head of a segmenter take in every network; 0 for none.

    Raises:
        InvalidValue: with the range of the space.
    """
    low, high = costs.range_ms
    # NaN is no target either: no comparison with it is true.
    if math.isfinite(target_ms) and low <= target_ms <= high:
        return
    verdict = "above the slowest" if target_ms > high else "below the fastest"
    every = ", so every network keeps it" if target_ms > high else ""
    raise InvalidValue(
        f"the target of {target_ms:g} ms is {verdict} network of the space on {where}{every}: "
        f"choose one from {low:.3g} to {high:.3g} ms"
        + (
            f", or a narrower pyramid and head, which take {fixed:.3g} of them"
            if fixed and target_ms < low
            else ""
        )
    )


def empty_band(low_ms: float, high_ms: float, costs: LatencyMatrix) -> str:
    """Say that no network lies in a band of predicted latencies, and which there are."""
    fastest, slowest = costs.range_ms
    return (
        f"no network of the space has a predicted latency from {low_ms:.3g} to {high_ms:.3g} ms "
        f"(the space reaches from {fastest:.3g} to {slowest:.3g} ms): choose another target"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Distinct networks of a band in the order found, and how hard they were to find."""

    choices: tuple[tuple[int, ...], ...]
    origins: tuple[Origin, ...]
    draws: int
    draws_in_band: int


def led_by(best: Sequence[tuple[int, ...]], pool: Pool, count: int) -> Pool:
    """Put networks that an integer program found before those of a pool, ``count`` in all."""
    origins: dict[tuple[int, ...], Origin] = dict.fromkeys(best, "optimum")
    for choices, origin in zip(pool.choices, pool.origins, strict=True):
        origins.setdefault(choices, origin)
    kept = dict(list(origins.items())[:count])
    return replace(pool, choices=tuple(kept), origins=tuple(kept.values()))


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Row-wise log-probabilities; -inf stays -inf."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    # log(0) is meant: a candidate that is illegal has no probability.
    with np.errstate(divide="ignore"):
        normaliser = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.asarray(shifted - normaliser)


def to_names(space: SearchSpace, choices: tuple[int, ...]) -> list[str]:
    """Return names of the ops behind the columns."""
    return [space.ops[column] for column in choices]


def propose(
    logits: NDArray[np.float64],
    costs: LatencyMatrix,
    *,
    low_ms: float,
    high_ms: float,
    count: int,
    rng: np.random.Generator,
    with_argmax: bool = True,
    sampled_as: Origin = "sampled",
    max_draws: int = 50_000,
) -> Pool:
    """Up to ``count`` distinct networks with a predicted latency in [``low_ms``, ``high_ms``]; only the
    argmax may be faster.

    Args:
        logits: theta (layers, ops), -inf where illegal.
        with_argmax: put the argmax and, where it misses the band, the most probable network of the
            band first.
        sampled_as: origin recorded for plain draws.
        max_draws: draws before mutations have to fill the pool.
    """
    logp = log_softmax(logits)
    found: dict[tuple[int, ...], Origin] = {}
    missed: dict[tuple[int, ...], None] = {}
    if with_argmax:
        top = tuple(logp.argmax(axis=1).tolist())
        predicted = costs.predict(np.array([top]))[0]
        # A faster favourite of theta is welcome: the target is a budget.
        if predicted <= high_ms:
            found[top] = "argmax"
        if not low_ms <= predicted <= high_ms and count > len(found):
            inside = most_probable(logp, costs, low_ms, high_ms)
            if inside is not None:
                found[inside] = "constrained"
    draws = in_band = 0
    while len(found) < count and draws < max_draws:
        chunk = _draw(logp, min(_CHUNK, max_draws - draws), rng)
        latency = costs.predict(chunk)
        # Draws are counted one by one: the share in the band is reported.
        for choices, ms in zip(map(tuple, chunk.tolist()), latency, strict=True):
            draws += 1
            if low_ms <= ms <= high_ms:
                in_band += 1
                found.setdefault(choices, sampled_as)
            # Enough to start mutations from; the rest would only fill memory.
            elif len(missed) < 4 * count:
                missed.setdefault(choices)
            if len(found) >= count:
                break
    for start in _starts(missed, found, logp, count, rng):
        if len(found) >= count:
            break
        moved = mutate(start, logp, costs, low_ms, high_ms, rng)
        if moved is not None:
            found.setdefault(moved, "mutated")
    return Pool(
        choices=tuple(found), origins=tuple(found.values()), draws=draws, draws_in_band=in_band
    )


def _starts(
    missed: Iterable[tuple[int, ...]],
    found: Mapping[tuple[int, ...], Origin],
    logp: NDArray[np.float64],
    count: int,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:
    """Return where mutations start: draws off the band, then found networks, two layers redrawn.

    The second kind is for a theta so sure of itself that all its draws are alike and far away.
    """
    yield from (np.array(start) for start in missed)
    # Most walks end at a network that was found already, hence many starts.
    for _ in range(20 * count):
        if not found:
            return
        start = np.array(list(found)[rng.integers(len(found))])
        layers = rng.choice(len(start), size=min(2, len(start)), replace=False)
        start[layers] = _draw(logp, 1, rng)[0][layers]
        yield start


def most_probable(
    logp: NDArray[np.float64],
    costs: LatencyMatrix,
    low_ms: float,
    high_ms: float,
    steps: int = 100,
) -> tuple[int, ...] | None:
    """Find the network of the band with the largest probability under theta; None where it is empty.

    A dynamic programme over the layers, with latencies rounded to a ``steps``-th of the band (so a
    network at its very edge may be missed).
    """
    # Latency becomes whole bins: shortest paths over them are found layer by layer.
    width = (high_ms - low_ms) / steps
    bins = int((high_ms - costs.fixed_ms) / width) + steps
    if bins <= 0:
        return None
    score, came_from = np.full(bins, -np.inf), []
    score[0] = 0.0
    for layer_ms, layer_logp in zip(costs.ms, logp, strict=True):
        options = np.full((len(layer_ms), bins), -np.inf)
        # Illegal candidates are -inf in theta or in the table.
        for op in np.flatnonzero(np.isfinite(layer_logp) & np.isfinite(layer_ms)):
            shift = round(layer_ms[op] / width)
            if shift < bins:
                options[op, shift:] = score[: bins - shift] + layer_logp[op]
        came_from.append(options.argmax(axis=0))
        score = options.max(axis=0)
    for end in np.argsort(-score):
        if not np.isfinite(score[end]):
            break
        choices, at = [], int(end)
        for ops, layer_ms in zip(reversed(came_from), reversed(costs.ms), strict=True):
            choices.append(int(ops[at]))
            at -= round(layer_ms[ops[at]] / width)
        network = tuple(reversed(choices))
        # Rounding of each layer adds up: the true prediction decides.
        if low_ms <= costs.predict(np.array([network]))[0] <= high_ms:
            return network
    return None


def mutate(
    start: NDArray[np.int64],
    logp: NDArray[np.float64],
    costs: LatencyMatrix,
    low_ms: float,
    high_ms: float,
    rng: np.random.Generator,
) -> tuple[int, ...] | None:
    """Walk ``start`` (layers,) into the band by single-layer changes, or None if that fails.

    A change that lands in the band is taken before one that only comes nearer; among equals the
    draw is proportional to P(new) / P(old) under theta.
    """
    middle, choices = (low_ms + high_ms) / 2, start.copy()
    rows = np.arange(len(choices))
    # Each change comes nearer to the middle, but steps may be tiny: so many are enough.
    for _ in range(8 * len(choices)):
        now = float(costs.predict(choices[None])[0])
        if low_ms <= now <= high_ms:
            return tuple(choices.tolist())
        # What the whole network would take after each single change.
        after = now + costs.ms - costs.ms[rows, choices][:, None]
        legal = np.isfinite(logp) & np.isfinite(after)
        landing = legal & (after >= low_ms) & (after <= high_ms)
        nearer = legal & (np.abs(np.nan_to_num(after) - middle) < abs(now - middle))
        allowed = landing if landing.any() else nearer
        if not allowed.any():
            return None
        ratio = np.where(allowed, logp - logp[rows, choices][:, None], -np.inf)
        # Relative to the largest: exp would overflow else.
        weights = np.exp(ratio - ratio.max()).ravel()
        layer, column = divmod(int(rng.choice(weights.size, p=weights / weights.sum())),
                               logp.shape[1])  # fmt: skip
        choices[layer] = column
    return None


def _draw(logp: NDArray[np.float64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw networks (count, layers) from theta by the Gumbel-max rule, layers independent."""
    noise = rng.gumbel(size=(count, *logp.shape))
    return np.asarray((logp + noise).argmax(axis=-1))
