"""Predict accuracies from networks that were trained anyway: ridge regression on one-hot choices.

A network is the sum of its layers' parts. With the parts known, the integer program finds the best
network under any latency table: a second search on the same space costs minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pocketeye.errors import InvalidValue
from pocketeye.models.space import SearchSpace

Array = NDArray[np.float64]
LEAST = 8
"""With fewer networks nothing is left to judge a fit by."""
# Of the ridge, over the variance of the accuracies: from no smoothing to nearly a constant.
_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_FOLDS = 8


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """Hold an additive model of accuracy.

    Attributes:
        parts: what each candidate adds, (layers, ops), NaN where illegal.
        base: accuracy of a network whose parts are all zero.
        penalty: of the ridge, chosen by cross-validation.
    """

    parts: Array
    base: float
    penalty: float

    def predict(self, choices: NDArray[np.int64]) -> Array:
        """Return accuracies (N,) of networks given as op columns (N, layers)."""
        return np.asarray(self.base + self.parts[np.arange(len(self.parts)), choices].sum(1))

    @property
    def scores(self) -> Array:
        """Return what :func:`pocketeye.searching.choosing.choose.best_networks` adds up."""
        return -self.parts


def fit_predictor(
    space: SearchSpace,
    choices: NDArray[np.int64],
    accuracies: Sequence[float] | Array,
    *,
    prior: Array | None = None,
    seed: int = 0,
) -> Predictor:
    """Fit parts to trained networks.

    Args:
        choices: op columns (N, layers).
        accuracies: what each was trained to.
        prior: scores of single swaps (layers, ops), such as a library's ``kl``: the fit begins with
            their best multiple, and parts are shrunk towards it instead of zero.
        seed: of the folds that choose the penalty.

    Raises:
        InvalidValue: fewer than eight networks.
    """
    truth = np.asarray(accuracies, np.float64)
    if len(truth) < LEAST:
        raise InvalidValue(f"a predictor needs {LEAST} trained networks or more, got {len(truth)}")
    errors = [np.square(_held_out(choices, truth, space, prior, p, seed) - truth).mean()
              for p in _PENALTIES]  # fmt: skip
    penalty = _PENALTIES[int(np.argmin(errors))]
    base, parts = _ridge(_one_hot(choices, space), truth, _flat(prior, space), penalty)
    legal = _legal(space)
    whole = np.full(legal.shape, np.nan)
    whole[legal] = parts
    return Predictor(parts=whole, base=base, penalty=penalty)


def cross_validated(
    space: SearchSpace,
    choices: NDArray[np.int64],
    accuracies: Sequence[float] | Array,
    *,
    prior: Array | None = None,
    seed: int = 0,
) -> Array:
    """Return the accuracy (N,) that is predicted of each network from the others.

    The penalty is chosen inside each fold, so that no network has a say in its own prediction.
    """
    truth = np.asarray(accuracies, np.float64)
    predicted = np.empty_like(truth)
    for part in _folds(len(truth), seed):
        rest = np.setdiff1d(np.arange(len(truth)), part)
        errors = [
            np.square(
                _held_out(choices[rest], truth[rest], space, prior, p, seed) - truth[rest]
            ).mean()
            for p in _PENALTIES
        ]
        penalty = _PENALTIES[int(np.argmin(errors))]
        predicted[part] = _predict_part(choices, truth, space, prior, penalty, rest, part)
    return predicted


def _held_out(
    choices: NDArray[np.int64], truth: Array, space: SearchSpace, prior: Array | None,
    penalty: float, seed: int,
) -> Array:  # fmt: skip
    predicted = np.empty_like(truth)
    for part in _folds(len(truth), seed):
        rest = np.setdiff1d(np.arange(len(truth)), part)
        predicted[part] = _predict_part(choices, truth, space, prior, penalty, rest, part)
    return predicted


def _predict_part(
    choices: NDArray[np.int64], truth: Array, space: SearchSpace, prior: Array | None,
    penalty: float, rest: NDArray[np.int64], part: NDArray[np.int64],
) -> Array:  # fmt: skip
    hot = _one_hot(choices, space)
    base, parts = _ridge(hot[rest], truth[rest], _flat(prior, space), penalty)
    return np.asarray(base + hot[part] @ parts)


def _ridge(hot: Array, truth: Array, prior: Array | None, penalty: float) -> tuple[float, Array]:
    """Return intercept and parts; with a prior they are its best multiple and what it leaves."""
    mean_hot, mean = hot.mean(0), truth.mean()
    x, y = hot - mean_hot, truth - mean
    start = np.zeros(x.shape[1])
    if prior is not None and (along := x @ prior) @ along > 0:
        # A prior with the wrong sign says nothing that can be trusted.
        start = min(float(along @ y) / float(along @ along), 0.0) * prior
        y = y - x @ start
    # The dual form: there are more candidates than networks.
    weights = np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), y)
    parts = start + x.T @ weights
    return float(mean - mean_hot @ parts), parts


def _folds(count: int, seed: int) -> list[NDArray[np.int64]]:
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(part) for part in np.array_split(order, min(_FOLDS, count))]


def _one_hot(choices: NDArray[np.int64], space: SearchSpace) -> Array:
    legal = _legal(space)
    hot = np.zeros((len(choices), *legal.shape))
    rows = np.arange(len(choices))[:, None]
    hot[rows, np.arange(legal.shape[0]), choices] = 1.0
    return hot[:, legal]


def _flat(prior: Array | None, space: SearchSpace) -> Array | None:
    return None if prior is None else prior[_legal(space)]


def _legal(space: SearchSpace) -> NDArray[np.bool_]:
    return np.array([[op in p.candidates for op in space.ops] for p in space.positions])
