"""Run one training of any task: a complete run folder, the steps, the best weights, the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Callback

from pocketeye.devices import is_first_process, threads
from pocketeye.models import load_checkpoint
from pocketeye.runs import (
    BEST,
    CHECKPOINT,
    CURVES,
    JUDGED,
    LAST,
    RECIPE,
    REPORT,
    RESULT,
    RunFolder,
)
from pocketeye.training.engine.averaging import AveragedTask
from pocketeye.training.engine.before import require_trainable
from pocketeye.training.engine.loop import fit_resumable, make_trainer
from pocketeye.training.engine.recipe import Recipe
from pocketeye.training.engine.reporting.result import FitResult, save_result, sum_up
from pocketeye.training.engine.reporting.tensorboard import TensorBoardLog
from pocketeye.training.engine.saving import SaveWeights


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """Hold what a task tells :func:`fit_run` of one training.

    Attributes:
        title: network and data, for the heading of the curves.
        task: the Lightning module around the network.
        loaders: of training and of validation.
        describe: writes the files that say what the network is (``model.json`` and others).
        report: writes ``report.html`` from the files of the finished run.
        recipe: as the user gave it; it is kept in the folder.
        counts: further whole numbers for ``result.json``.
        drawings: names of the images that the task draws while it trains.
        callbacks: further Lightning callbacks.
        sync_bn: BN statistics over all processes.
        all_used: every parameter has a gradient in every step.
        progress: text of the progress bar.
        num_classes: that answers are one of; None where there are no such answers.
    """

    title: str
    task: AveragedTask
    loaders: tuple[Any, Any]
    describe: Callable[[RunFolder], object]
    report: Callable[[RunFolder], object]
    recipe: Recipe
    counts: Mapping[str, int] = field(default_factory=dict)
    drawings: Sequence[str] = ()
    callbacks: Sequence[Callback] = ()
    sync_bn: bool = False
    all_used: bool = True
    progress: str = "training"
    num_classes: int | None = None


def fit_run(model: torch.nn.Module, plan: TrainingPlan, run: RunFolder, resume: bool) -> FitResult:
    """Train ``model`` into ``run`` and leave it with its best weights, in eval mode.

    Writes ``best.safetensors`` (of the epoch where the first metric is highest),
    ``last.safetensors``, ``last.ckpt``, ``metrics.csv``, ``recipe.yaml``, ``curves.png``,
    ``result.json`` and ``report.html``, besides what the plan describes.

    Args:
        model: the network inside ``plan.task``.
        resume: go on from ``last.ckpt``, or begin where there is none; the result is bit for bit that
            of one go (on a CPU).

    Raises:
        InvalidValue: a loss that is not finite, or no room.
        UserError: interrupted; says how to go on.
    """
    recipe = plan.recipe
    # All that can be refused, before files are touched.
    require_trainable(model, plan.title)
    with threads(recipe.threads):
        # One process writes: the others would replace its files.
        if is_first_process():
            _begin(plan, run, resume)
        log = [TensorBoardLog(run)] if recipe.tensorboard else []
        trainer = make_trainer(
            run,
            max_epochs=recipe.epochs,
            seed=recipe.seed,
            device=recipe.device,
            num_processes=recipe.num_processes,
            precision=recipe.precision,
            sync_bn=plan.sync_bn,
            description=plan.progress,
            callbacks=[SaveWeights(run, next(iter(recipe.record.metrics))), *plan.callbacks, *log],
            all_used=plan.all_used,
            gradient_clip_val=recipe.clip_grad or None,
            accumulate_grad_batches=recipe.accumulate,
        )
        fit_resumable(trainer, plan.task, plan.loaders, run, resume)
    return _finish(model, plan, run)


def _begin(plan: TrainingPlan, run: RunFolder, resume: bool) -> None:
    """Complete the folder before the first step.

    A resumed run gets its files too: the first attempt may have been killed before it wrote them, or
    after ``--overwrite`` while those of another network were still there.
    """
    going_on = resume and (run / CHECKPOINT).is_file()
    # Of one that goes on: what was found out about weights that may be replaced.
    done = len(run.metrics()) >= plan.recipe.epochs
    gone = () if done else (RESULT, REPORT, CURVES, *JUDGED)
    every = (CHECKPOINT, BEST, LAST, RESULT, REPORT, CURVES, *JUDGED, *plan.drawings)
    for name in gone if going_on else every:
        # Old results beside new weights would be believed.
        (run / name).unlink(missing_ok=True)
    plan.recipe.save(run / RECIPE)
    plan.describe(run)


def _finish(model: torch.nn.Module, plan: TrainingPlan, run: RunFolder) -> FitResult:
    """Load the best weights, and let the first process write what the run came to."""
    # The last weights are in memory; those that count are on the disk.
    load_checkpoint(model, run / BEST)
    # Plain layout: exporters and users expect it.
    model.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    metrics = plan.recipe.record.metrics
    # Only these columns: others may be damaged without harm.
    rows = run.metrics(("epoch", "seconds", next(iter(metrics))))
    result = sum_up(rows, metrics, plan.num_classes, plan.counts.get("num_val"))
    if is_first_process():
        counts = {**plan.counts, "params": sum(p.numel() for p in model.parameters())}
        save_result(run, result, rows, metrics, plan.title, counts)
        plan.report(run)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # under torchrun nobody returns before the files are there
    return result
