"""Run one search from images and a latency table to theta."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pocketeye.latency.matrix import LatencyMatrix
from pocketeye.latency.table import LatencyTable
from pocketeye.models.space import SearchSpace
from pocketeye.runs import RunFolder
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.deriving.sampling import check_target
from pocketeye.searching.learning.distributed import strategy_options
from pocketeye.searching.learning.history import THETA, ThetaLog, read_theta
from pocketeye.searching.learning.phases import PhaseLoader
from pocketeye.searching.learning.task import SearchTask
from pocketeye.searching.objective import FBNetObjective
from pocketeye.searching.problem import Problem
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.searching.supernet.theta import Theta
from pocketeye.training.engine.loop import fit_resumable, make_trainer


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """Hold what a search found; shapes in layers L, ops C (columns of ``space.ops``) and epochs E.

    Attributes:
        space: the space that was searched.
        theta: logits (L, C), -inf where illegal.
        supernet: trained, on the CPU.
        history: a row of metrics per epoch.
        theta_history: ``softmax(theta)`` after every epoch (E, L, C), 0 where illegal.
    """

    space: SearchSpace
    theta: NDArray[np.float64]
    supernet: SuperNet
    history: tuple[dict[str, float], ...]
    theta_history: NDArray[np.float64]


def run_search(
    space: SearchSpace,
    table: LatencyTable,
    problem: Problem,
    config: SearchConfig,
    run: RunFolder,
    *,
    resume: bool = False,
) -> SearchOutcome:
    """Search ``space`` under the latencies of ``table``.

    Writes ``metrics.csv``, ``theta.csv`` and ``last.ckpt`` into ``run``, every epoch.

    Args:
        space: what to search.
        table: must hold every block of ``space``.
        problem: images and what is to be learnt from them.
        config: settings.
        run: an open run folder.
        resume: go on from ``last.ckpt``; on a CPU the result is bit for bit that of one go.

    Raises:
        InvalidValue: a table for another space, a target outside the latencies of the space, an
            objective that cannot work with them, or images that do not fit (all before any work).
        UserError: interrupted; says how to go on.
    """
    # Everything that can be refused is refused here, before any work.
    table.require(space=space)
    costs = table.matrix(space)
    _check(space, costs, table, problem, config)
    loader = PhaseLoader(*problem.loaders(space, config), config.warmup_epochs)
    # The supernet's weights follow from the seed alone, whatever the process has drawn before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        supernet = SuperNet(
            space, aligned=config.begins_aligned, pixel_head=problem.pixel_head(space)
        )
    theta = Theta(supernet.mask, torch.from_numpy(costs.ms), costs.fixed_ms)
    task = SearchTask(supernet, theta, config, problem.loss)
    outcome = learn(task, loader, run, resume, description="searching")
    supernet.cpu().requires_grad_(True)
    return outcome


def learn(
    task: SearchTask,
    loader: PhaseLoader,
    run: RunFolder,
    resume: bool,
    *,
    description: str,
) -> SearchOutcome:
    """Train what a task trains, as its config says, and return its theta and supernet.

    Args:
        run: an open run folder.
        resume: go on from ``last.ckpt``.
        description: what the progress says is done.
    """
    config, space = task.config, task.supernet.space
    trainer = make_trainer(
        run,
        max_epochs=config.epochs,
        seed=config.seed,
        device=config.device,
        num_processes=config.num_processes,
        precision=config.precision,
        description=description,
        callbacks=[ThetaLog(run, space)],
        **strategy_options(config.num_processes),
    )
    fit_resumable(trainer, task, (loader, None), run, resume)
    return SearchOutcome(
        space=space,
        # In double precision, in which networks are drawn: rounding must not change which are likely.
        theta=task.theta.logits().detach().cpu().double().numpy(),
        supernet=task.supernet,
        history=tuple(run.metrics()),
        theta_history=read_theta(run / THETA, space),
    )


def _check(
    space: SearchSpace,
    costs: LatencyMatrix,
    table: LatencyTable,
    problem: Problem,
    config: SearchConfig,
) -> None:
    if config.target_ms is not None:
        header = table.header
        where = f"{header.device.cpu} ({header.runtime}, {header.precision})"
        check_target(config.target_ms, costs, where, fixed=table.head_ms)
    objective = config.build_objective()
    if isinstance(objective, FBNetObjective):
        objective.check(costs.range_ms)
    problem.check(space)
