"""Random search at equal latency: what the gradient search has to beat.

The baseline draws uniformly from the space, keeps what falls into the same latency band, and is
ranked on the same images with the same BN recalibration as the searched candidates. Uniform draws
that are kept are an unbiased sample of the band. Only where too few land there are networks pulled
in by random single-layer changes (``origin == "mutated"``); those lean towards networks near the
middle of the space, because a short walk from a typical network ends at a typical one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketeye.models.space import SearchSpace
from pocketeye.reading import Count, NonNegative, Probability
from pocketeye.searching.metric import Counts, Metric, Top1, standard_error

# Counts in a file are numbers of networks or images: a trillion is damage.


def uniform_logits(space: SearchSpace) -> NDArray[np.float64]:
    """Theta (layers, ops) of uniform random search: 0 where a candidate is legal, else -inf."""
    ops = space.ops
    return np.array(
        [[0.0 if op in p.candidates else -math.inf for op in ops] for p in space.positions]
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Compare the searched network with random ones; values of ``metric`` are fractions in [0, 1].

    ``searched_best`` is the network that was chosen, ``random_best`` the one that the same procedure
    (ranked, measured, within the budget) chooses among the random networks. ``chance`` is what guessing
    gives, or saying the commonest class every time; None where the metric has no such level.
    ``random_mean_se`` is the standard error of the mean over the random networks;
    ``difference_se`` that of ``difference``, searched minus random best, paired over the same
    images. A single network or image has none.
    """

    num_images: Count
    num_searched: Count
    num_random: Count
    searched_best: Probability
    searched_mean: Probability
    random_best: Probability
    random_mean: Probability
    random_mean_se: NonNegative | None
    difference: float
    difference_se: float | None
    metric: str = "top-1"
    chance: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """Say it in words, with its uncertainty."""
        margin, error = self.difference, self.difference_se
        # Two standard errors: a difference as large is chance one time in twenty.
        if error is None or abs(margin) <= 2 * error:
            verdict = "no difference beyond two standard errors"
        else:
            verdict = "searched is better" if margin > 0 else "random is better"
        spread = "" if self.random_mean_se is None else f" ± {self.random_mean_se:.1%}"
        paired = "" if error is None else f" ± {100 * error:.1f}"
        chance = "" if self.chance is None else f"; chance {self.chance:.1%}"
        return (
            f"{self.metric} {self.searched_best:.1%} of the chosen network, {self.random_mean:.1%}"
            f"{spread} on average of {self.num_random} random ones, {self.random_best:.1%} of the best "
            f"of those{chance}. Chosen minus best random: {100 * margin:+.1f}{paired} points on "
            f"{self.num_images} images: {verdict}"
        )


def compare(
    searched: Sequence[Counts],
    random: Sequence[Counts],
    *,
    metric: Metric | None = None,
    best: int = 0,
    random_best: int = 0,
    chance: float | None = None,
) -> Comparison:
    """Compare from what each network got right.

    Args:
        searched: per searched candidate, counts (images, ...) of ``metric``.
        random: the same for the random networks, on the same images in the same order.
        metric: top-1 by default.
        best: index of the chosen candidate.
        random_best: index of the random network that is chosen the same way.
        chance: what guessing gives.
    """
    assert searched, "no searched network to compare"
    assert random, "no random network to compare"
    metric = metric or Top1()
    num_images = len(searched[0])
    # Each value by itself: their mean and spread are of networks, not of images.
    ours, theirs = (list(map(metric.value, group)) for group in (searched, random))
    return Comparison(
        num_images=num_images,
        num_searched=len(ours),
        num_random=len(theirs),
        searched_best=ours[best],
        searched_mean=float(np.mean(ours)),
        random_best=theirs[random_best],
        random_mean=float(np.mean(theirs)),
        random_mean_se=standard_error(np.array(theirs)),
        difference=ours[best] - theirs[random_best],
        # Paired: both were judged on the same images, whose hardness cancels out.
        difference_se=metric.difference_se(searched[best], random[random_best]),
        metric=metric.name,
        chance=chance,
    )
