"""Rankings are judged with an interval, and an additive truth is found from few networks."""

from __future__ import annotations

import random

import numpy as np
import pytest

from pocketeye.errors import InvalidValue
from pocketeye.searching.choosing.judge import judge_signals, kendall
from pocketeye.searching.choosing.predictor import cross_validated, fit_predictor
from pocketeye.searching.library.chain import columns
from pocketeye.searching.library.swaps import Swaps
from tests.searching.toys import SPACE

RNG = random.Random(1)
NETWORKS = [SPACE.sample(RNG) for _ in range(48)]
CHOSEN = np.array([columns(SPACE, network) for network in NETWORKS])
LEGAL = np.array([[op in p.candidates for op in SPACE.ops] for p in SPACE.positions])
PARTS = np.where(LEGAL, np.random.default_rng(0).normal(0, 0.01, LEGAL.shape), np.nan)
TRUTH = 0.9 + PARTS[np.arange(4), CHOSEN].sum(1)


def test_tau_of_the_truth_itself_is_one_and_its_reverse_minus_one() -> None:
    same = kendall("same", TRUTH, TRUTH)
    assert (same.value, same.low, same.high) == pytest.approx((1.0, 1.0, 1.0))
    assert kendall("reverse", -TRUTH, TRUTH).value == pytest.approx(-1.0)
    noise = kendall("noise", np.random.default_rng(3).normal(size=48), TRUTH)
    assert noise.low < 0 < noise.high
    assert "48 networks" in noise.sentence()
    constant = kendall("constant", np.zeros(48), TRUTH)
    assert np.isnan(constant.value)
    with pytest.raises(ValueError, match="3 at least"):
        kendall("few", [1.0, 2.0], [1.0, 2.0])


def test_ridge_finds_an_additive_truth() -> None:
    noisy = TRUTH + np.random.default_rng(5).normal(0, 0.002, 48)
    assert kendall("ridge", cross_validated(SPACE, CHOSEN, noisy), TRUTH).value > 0.7
    fitted = fit_predictor(SPACE, CHOSEN, noisy)
    assert np.array_equal(np.isfinite(fitted.parts), LEGAL)
    assert kendall("fit", fitted.predict(CHOSEN), TRUTH).value > 0.8
    with pytest.raises(InvalidValue, match="8 trained networks"):
        fit_predictor(SPACE, CHOSEN[:5], noisy[:5])


def test_a_good_prior_helps_where_networks_are_few() -> None:
    few = slice(0, 12)
    noisy = TRUTH[few] + np.random.default_rng(6).normal(0, 0.01, 12)
    plain = fit_predictor(SPACE, CHOSEN[few], noisy).predict(CHOSEN)
    led = fit_predictor(SPACE, CHOSEN[few], noisy, prior=-PARTS).predict(CHOSEN)
    assert kendall("led", led, TRUTH).value > kendall("plain", plain, TRUTH).value


def test_every_signal_is_judged_best_first() -> None:
    swaps = Swaps(error=np.where(LEGAL, 1.0, np.nan), kl=-PARTS, agreement=PARTS, loss=PARTS)
    judged = judge_signals(
        SPACE, NETWORKS, TRUTH.tolist(), swaps=swaps, theta=np.where(LEGAL, 100 * PARTS, -np.inf),
        others={"reverse": (-TRUTH).tolist()},
    )  # fmt: skip
    by_name = {tau.signal: tau for tau in judged}
    assert set(by_name) == {
        "weights", "MACs", "library kl", "library error", "library loss", "theta", "predictor",
        "reverse",
    }  # fmt: skip
    assert by_name["library kl"].value == pytest.approx(1.0)
    assert by_name["library loss"].value == pytest.approx(-1.0)
    assert by_name["reverse"].value == pytest.approx(-1.0)
    assert by_name["predictor"].value > 0.7
    assert np.isnan(by_name["library error"].value)
    assert judged[0].signal == "library kl"
    assert judged[-1].signal == "library error"
