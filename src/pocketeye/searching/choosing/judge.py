"""Say how well signals rank networks that were trained: Kendall's tau with an interval.

A signal is one number for every network, larger where the network should be better. The truth is the
accuracy each was trained to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from pocketeye.models import count
from pocketeye.models.architecture import Architecture
from pocketeye.models.backbones.fbnet import FBNet
from pocketeye.models.size import sides
from pocketeye.models.space import SearchSpace
from pocketeye.searching.choosing.predictor import LEAST, cross_validated
from pocketeye.searching.deriving.sampling import log_softmax
from pocketeye.searching.library.chain import columns
from pocketeye.searching.library.swaps import Swaps

Array = NDArray[np.float64]
# Percentiles of 1000 resamples are known to about a tenth of the interval.
_RESAMPLES, _INTERVAL = 1000, (2.5, 97.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tau:
    """Kendall's tau-b of a signal with the truth, and its 95 % interval by the bootstrap over networks.

    ``nan`` where the signal says the same of all networks.
    """

    signal: str
    value: float
    low: float
    high: float
    num_networks: int

    def sentence(self) -> str:
        """Say it in words."""
        return (
            f"{self.signal}: tau {self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f}, "
            f"{self.num_networks} networks)"
        )


def kendall(
    signal: str, values: Sequence[float] | Array, truth: Sequence[float] | Array, seed: int = 0
) -> Tau:
    """Return tau-b of ``values`` with ``truth``; networks are drawn with replacement for the interval.

    Raises:
        ValueError: other numbers of values than of networks, or fewer than three networks.
    """
    ours, theirs = np.asarray(values, np.float64), np.asarray(truth, np.float64)
    if ours.shape != theirs.shape or len(ours) < 3:
        raise ValueError(f"{signal}: {len(ours)} values and {len(theirs)} networks, 3 at least")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(ours), size=(_RESAMPLES, len(ours)))
    resampled = [_tau(ours[rows], theirs[rows]) for rows in drawn]
    known = [tau for tau in resampled if np.isfinite(tau)]
    low, high = np.percentile(known, _INTERVAL) if known else (np.nan, np.nan)
    return Tau(
        signal=signal, value=_tau(ours, theirs), low=float(low), high=float(high),
        num_networks=len(ours),
    )  # fmt: skip


def judge_signals(
    space: SearchSpace,
    networks: Sequence[Architecture],
    accuracies: Sequence[float],
    *,
    swaps: Swaps | None = None,
    theta: Array | None = None,
    others: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> list[Tau]:
    """Judge every signal there is on networks of a space that were trained.

    ``weights`` and ``MACs`` count the network; ``library kl``, ``library error`` and ``library loss``
    are sums of single swaps (with a minus: a smaller sum is better); ``theta`` is the log-probability;
    ``predictor`` the cross-validated ridge of :mod:`pocketeye.searching.choosing.predictor`, which has
    seen the accuracies of the other networks only.

    Args:
        networks: of the space.
        accuracies: what each was trained to.
        swaps: of a library of the space.
        theta: logits (layers, ops).
        others: further signals by name, such as the accuracy with shared weights.
        seed: of the bootstrap and of the folds.

    Returns:
        One a signal, the best first.
    """
    chosen = np.array([columns(space, network) for network in networks])
    rows = np.arange(space.num_layers)
    counts = [count(FBNet(n), (n.in_chans, *sides(n.input_size))) for n in networks]
    signals: dict[str, Sequence[float]] = {
        "weights": [c.params for c in counts],
        "MACs": [c.macs for c in counts],
    }
    if swaps is not None:
        for name in ("kl", "error", "loss"):
            signals[f"library {name}"] = (-swaps.score(name)[rows, chosen].sum(1)).tolist()
    if theta is not None:
        signals["theta"] = log_softmax(theta)[rows, chosen].sum(1).tolist()
    if len(networks) >= LEAST:
        predicted = cross_validated(space, chosen, np.asarray(accuracies, np.float64), seed=seed)
        signals["predictor"] = predicted.tolist()
    signals |= others or {}
    judged = [kendall(name, values, accuracies, seed) for name, values in signals.items()]
    return sorted(judged, key=lambda tau: -np.nan_to_num(tau.value, nan=-2.0))


def _tau(a: Array, b: Array) -> float:
    return float(kendalltau(a, b).statistic)
