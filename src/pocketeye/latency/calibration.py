"""Fit whole networks: from the sum of block latencies to the latency of a network.

A network is not the sum of its blocks: timed alone and over and over, a block finds its weights in
the nearest cache, and pays at both ends for a layout that neighbours inside a network share. Three
fits are compared by leaving one network out in turn; the plainest wins unless a richer one is
clearly better:

=======================  ===========================================================
``gain``                 g * sum(blocks)
``gain+block``           g * sum(blocks) + b * (number of blocks)
``gain+block+constant``  g * sum(blocks) + b * (number of blocks) + c
=======================  ===========================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketeye.errors import InvalidValue
from pocketeye.reading import NonNegative

# From plain to rich; the number of terms is the place in this list.
FITS = ("gain", "gain+block", "gain+block+constant")
# A richer fit must lower the held-out error by this factor.
_CLEARLY = 0.93
# The plainest fit has one coefficient; three more networks are left to hold out.
MIN_NETS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Hold the coefficients of a fit, and how well they did.

    Attributes:
        gain: factor on every block's latency.
        block_ms: added for every block that is not a skip.
        constant_ms: added once (the cost of one call is inside).
        mape: mean error on the networks it was fitted on, a fraction.
        loo_mape: the same, each network predicted without itself.
        candidates: ``loo_mape`` of every fit that was tried; None for one that was impossible.
        networks: the networks as text.
        measured_ms: their latencies.
    """

    fit: str
    gain: NonNegative
    block_ms: float
    constant_ms: float
    mape: NonNegative
    loo_mape: NonNegative
    candidates: dict[str, NonNegative | None]
    networks: tuple[str, ...]
    measured_ms: tuple[NonNegative, ...]


def calibrate(
    sums_ms: Sequence[float],
    num_blocks: Sequence[int],
    measured_ms: Sequence[float],
    *,
    overhead_ms: float,
    smallest_ms: float,
    networks: Sequence[str],
) -> Calibration:
    """Choose one of the fits and return its coefficients.

    Args:
        sums_ms: of every network, its blocks' latencies without the cost of their calls.
        num_blocks: of every network, blocks that are not skips (stem and head included).
        measured_ms: of every network.
        overhead_ms: cost of one call.
        smallest_ms: the fastest block; a fit that would make it negative is impossible.

    Raises:
        InvalidValue: fewer than 4 networks.
    """
    num = len(measured_ms)
    if num < MIN_NETS:
        raise InvalidValue(f"calibration needs at least {MIN_NETS} networks, got {num}")
    # A call is paid once by a network, whatever its blocks: it is no part of what is fitted.
    y = np.asarray(measured_ms, dtype=np.float64) - overhead_ms
    columns = np.stack([np.asarray(sums_ms, float), np.asarray(num_blocks, float), np.ones(num)], 1)
    candidates: dict[str, float | None] = {}
    best, best_error = 1, float("inf")
    for terms, name in enumerate(FITS, 1):
        x = columns[:, :terms]
        coefficients = _solve(x, y)
        # One network is held out and one must be left over, or the fit would be exact and mean nothing.
        possible = num > terms + 1 and _possible(coefficients, smallest_ms)
        error = _loo(x, y, overhead_ms) if possible else None
        candidates[name] = error
        if error is not None and (terms == 1 or error < _CLEARLY * best_error):
            best, best_error = terms, error
    x = columns[:, :best]
    gain, block_ms, constant_ms = [*_solve(x, y), 0.0, 0.0][:3]
    predicted = x @ _solve(x, y) + overhead_ms
    return Calibration(
        fit=FITS[best - 1],
        gain=float(gain),
        block_ms=float(block_ms),
        constant_ms=float(constant_ms) + overhead_ms,
        mape=_mape(predicted, y + overhead_ms),
        loo_mape=_loo(x, y, overhead_ms),
        candidates=candidates,
        networks=tuple(networks),
        measured_ms=tuple(float(ms) for ms in measured_ms),
    )


def _solve(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    # Relative errors count, so every network weighs the same whatever its latency.
    solution = np.linalg.lstsq(x / y[:, None], np.ones(len(y)), rcond=None)[0]
    return np.asarray(solution, dtype=np.float64)


def _loo(x: NDArray[np.float64], y: NDArray[np.float64], overhead_ms: float) -> float:
    # Each network is predicted by a fit that has not seen it.
    predicted = np.empty(len(y))
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        predicted[i] = x[i] @ _solve(x[rest], y[rest])
    return _mape(predicted + overhead_ms, y + overhead_ms)


def _mape(predicted: NDArray[np.float64], measured: NDArray[np.float64]) -> float:
    return float(np.mean(np.abs(predicted / measured - 1)))


def _possible(coefficients: NDArray[np.float64], smallest_ms: float) -> bool:
    gain, block_ms = [*coefficients, 0.0][:2]
    # The richer fits may trade gain against block_ms until a small block costs less than nothing.
    return bool(gain > 0 and gain * smallest_ms + block_ms > 0)
