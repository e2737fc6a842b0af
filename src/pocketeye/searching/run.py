"""One search from images and a latency table to theta."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue
from pocketeye.latency.table import LatencyTable
from pocketeye.models.space import SearchSpace
from pocketeye.runs import RunFolder
from pocketeye.searching._distributed import UnwrappedDDP
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.history import THETA, ThetaLog, read_theta
from pocketeye.searching.objective import FBNetObjective
from pocketeye.searching.phases import PhaseLoader
from pocketeye.searching.propose import LatencyMatrix, check_target
from pocketeye.searching.supernet import SuperNet
from pocketeye.searching.task import SearchTask
from pocketeye.searching.theta import Theta
from pocketeye.training.data import make_loader
from pocketeye.training.loop import fit_resumable, make_trainer
from pocketeye.training.transforms import TransformRecipe, build_transform

_SMALL_INPUT = 96


@dataclass(frozen=True, kw_only=True)
class SearchOutcome:
    """What a search found; shapes in layers L, ops C (columns of ``space.ops``) and epochs E.

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
    train: ImageSet,
    config: SearchConfig,
    run: RunFolder,
    *,
    resume: bool = False,
) -> SearchOutcome:
    """Search ``space`` under the latencies of ``table``.

    ``train.split(config.theta_fraction, config.seed)`` gives the images for weights and for theta.
    Writes ``metrics.csv``, ``theta.csv`` and ``last.ckpt`` into ``run``, every epoch.

    Args:
        space: what to search.
        table: must hold every block of ``space``.
        train: images with the classes of ``space``.
        config: settings.
        run: an open run folder.
        resume: go on from ``last.ckpt``; on a CPU the result is bit for bit that of one go.

    Raises:
        InvalidValue: a table for another space, a target outside the latencies of the space, an
            objective that cannot work with them, or images that do not fit (all before any work).
        UserError: interrupted; says how to go on.
    """
    table.require(space=space)
    ms, fixed_ms = table.matrix(space)
    _check(space, LatencyMatrix(ms=ms, fixed_ms=fixed_ms), table, train, config)
    loader = _loader(space, train, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        supernet = SuperNet(space, aligned=config.begins_aligned)
    theta = Theta(supernet.mask, torch.from_numpy(ms), fixed_ms)
    task = SearchTask(supernet, theta, config)
    trainer = make_trainer(
        run,
        max_epochs=config.epochs,
        seed=config.seed,
        device=config.device,
        num_processes=config.num_processes,
        precision=config.precision,
        description="searching",
        callbacks=[ThetaLog(run, space)],
        **_strategy(config),
    )
    fit_resumable(trainer, task, (loader, None), run, resume)
    return SearchOutcome(
        space=space,
        theta=theta.logits().detach().cpu().double().numpy(),
        supernet=supernet.cpu().requires_grad_(True),
        history=tuple(run.metrics()),
        theta_history=read_theta(run / THETA, space),
    )


def _check(
    space: SearchSpace,
    costs: LatencyMatrix,
    table: LatencyTable,
    train: ImageSet,
    config: SearchConfig,
) -> None:
    if config.target_ms is not None:
        header = table.header
        where = f"{header.device.cpu} ({header.runtime}, {header.precision})"
        check_target(config.target_ms, costs, where)
    objective = config.build_objective()
    if isinstance(objective, FBNetObjective):
        objective.check(costs.range_ms)
    if (len(train.classes), train.in_chans) != (space.num_classes, space.in_chans):
        raise InvalidValue(
            f"{train.source} has {len(train.classes)} classes and {train.in_chans} channels, but "
            f"the space {space.name!r} is for {space.num_classes} classes and {space.in_chans} "
            "channels"
        )


def _loader(space: SearchSpace, train: ImageSet, config: SearchConfig) -> PhaseLoader:
    crop = "none" if not config.augment else "pad" if space.input_size < _SMALL_INPUT else "rrc"
    flip = 0.5 if config.augment and train.mirrored_alike else 0.0
    recipe = TransformRecipe(crop=crop, flip=flip)  # type: ignore[arg-type]
    transform = build_transform(True, space.input_size, space.in_chans, None, None, recipe)
    loaders = [
        make_loader(
            images, transform, min(batch, max(len(images) // config.num_processes, 1)),
            shuffle=True, seed=2 * config.seed + half, drop_last=True, workers=config.workers,
        )
        for half, (images, batch) in enumerate(
            zip(
                train.split(config.theta_fraction, config.seed),
                (config.batch_size, config.theta_batch),
                strict=True,
            )
        )
    ]  # fmt: skip
    return PhaseLoader(loaders[0], loaders[1], config.warmup_epochs)


def _strategy(config: SearchConfig) -> dict[str, Any]:
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return {"strategy": UnwrappedDDP()}
    if config.num_processes == 1:
        return {}
    return {"strategy": UnwrappedDDP(start_method="spawn")}
