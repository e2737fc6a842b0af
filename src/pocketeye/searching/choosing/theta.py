"""Train theta alone, on candidates that a library has taught.

FBNet trains weights and theta in turn, so that theta first chooses among candidates that have learnt
nothing. Here they have learnt, and stand still. The loss is the divergence from the teacher's answers,
which needs no labels; the latency term is that of :mod:`pocketeye.searching.objective`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.runs import RunFolder
from pocketeye.searching.batches import Loader
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.learning.phases import Phase, PhaseBatch, PhaseLoader
from pocketeye.searching.learning.task import SearchTask
from pocketeye.searching.library.stored import Library
from pocketeye.searching.problem import Problem
from pocketeye.searching.run import SearchOutcome, learn
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.searching.supernet.theta import Theta


class ThetaLoader(PhaseLoader):
    """Give the batches of theta alone."""

    def __init__(self, theta: Loader) -> None:
        super().__init__(theta, theta, warmup_epochs=0)

    def __len__(self) -> int:
        return len(self.theta)

    def __iter__(self) -> Iterator[PhaseBatch]:
        for images, labels in self.theta:
            yield Phase.THETA.value, images, labels


class DistilledTask(SearchTask):
    """Train theta by the teacher's answers.

    Args:
        teacher: columns of the teacher's blocks in the supernet.
        supernet, theta, config: as :class:`SearchTask` takes them.
    """

    def __init__(
        self, supernet: SuperNet, theta: Theta, config: SearchConfig, teacher: Sequence[int]
    ) -> None:
        super().__init__(supernet, theta, config, soft_cross_entropy)
        self.teacher = tuple(teacher)

    def _theta_step(self, images: Tensor, labels: Tensor) -> Tensor:
        self.supernet.eval()
        with torch.no_grad():
            answers = self.supernet.forward_path(images, self.teacher).float().softmax(1)
        self.supernet.train()
        return super()._theta_step(images, answers)


def soft_cross_entropy(logits: Tensor, answers: Tensor) -> Tensor:
    """Return the cross entropy of logits (N, K) against probabilities (N, K), nats an image."""
    return -(answers * logits.float().log_softmax(1)).sum(1).mean()


def scores_as_theta(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits that prefer cheap swaps: -inf where illegal, one nat for a median swap."""
    legal = np.isfinite(scores)
    positive = scores[legal & (scores > 0)]
    scale = float(np.median(positive)) if positive.size else 1.0
    # Not below -5: the worst candidates must be able to come back.
    return np.where(legal, np.maximum(-np.nan_to_num(scores) / scale, -5.0), -np.inf)


def search_library(
    library: Library,
    costs: LatencyMatrix,
    problem: Problem,
    config: SearchConfig,
    run: RunFolder,
    *,
    resume: bool = False,
) -> SearchOutcome:
    """Train theta on the candidates of a library; writes ``theta.csv`` and ``last.ckpt``.

    Args:
        library: its weights are copied and stay as they are.
        costs: what candidates take on the device.
        problem: images; only the part that trains theta is used.
        config: epochs and learning rate of theta, objective, seed, device.
        run: an open run folder.
        resume: go on from ``last.ckpt``.
    """
    space = library.space
    config = replace(config, warmup_epochs=0)
    supernet = copy.deepcopy(library.supernet).requires_grad_(False)
    theta = Theta(supernet.mask, torch.from_numpy(costs.ms), costs.fixed_ms)
    # The sums of single swaps are a first guess of what theta will find; illegal columns are not read.
    start = torch.from_numpy(scores_as_theta(library.swaps.kl)).float()
    theta.theta.data.copy_(start.masked_fill(~supernet.mask, 0.0))
    task = DistilledTask(supernet, theta, config, library.teacher_columns)
    loader = ThetaLoader(problem.loaders(space, config)[1])
    outcome = learn(task, loader, run, resume, description="training theta")
    return replace(outcome, supernet=library.supernet)
