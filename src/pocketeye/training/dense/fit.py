"""Train a detector or segmenter into a run folder that can be judged, exported and continued."""

from __future__ import annotations

from typing import Any

from pocketeye.data import DetectionSet, SemanticSet
from pocketeye.data.loaders.clips import make_clip_loader
from pocketeye.errors import InvalidValue
from pocketeye.models.dense.described import DenseDescription, DenseNetwork
from pocketeye.runs import ANSWERS, RunFolder
from pocketeye.training.dense.data import (
    DetectionDraws,
    DetectionOrder,
    SemanticDraws,
    SemanticOrder,
    collate_crops,
    collate_items,
    steps_per_epoch,
)
from pocketeye.training.dense.figures import SaveDenseImage
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.report import write_dense_report
from pocketeye.training.dense.task import DenseTraining, DetectionTask, SemanticTask
from pocketeye.training.engine import FitResult, TrainingPlan, fit_run

DenseSet = DetectionSet | SemanticSet


def fit_dense(
    model: DenseNetwork,
    train: DenseSet,
    val: DenseSet,
    config: DenseRecipe,
    run: RunFolder,
    resume: bool = False,
    *,
    description: DenseDescription,
) -> FitResult:
    """Train ``model`` and leave it with its best weights.

    Besides the files of :func:`~pocketeye.training.engine.fit.fit_run` it writes ``model.json`` and,
    after every epoch, ``validation.png``.

    Args:
        train, val: of the task's kind, with the same classes.
        resume: go on from ``last.ckpt``; the result is bit for bit that of one go (on a CPU).

    Raises:
        InvalidValue: sets of different classes, a loss that is not finite, no room.
        UserError: interrupted; says how to go on.
    """
    plan = dense_plan(model, train, val, config, run, description)
    return fit_run(model, plan, run, resume)


def dense_plan(
    model: DenseNetwork,
    train: DenseSet,
    val: DenseSet,
    config: DenseRecipe,
    run: RunFolder,
    description: DenseDescription,
) -> TrainingPlan:
    """Return what :func:`fit_dense` trains with; ``run`` need not be open yet.

    Raises:
        InvalidValue: sets of different classes, or too few images for so many processes.
    """
    require_same_classes(train, val)
    task, loaders = _made(model, train, val, config, description)
    return TrainingPlan(
        title=f"{description.network} with {description.backbone} on {description.data}",
        task=task,
        loaders=loaders,
        describe=lambda folder: description.save(folder.path),
        report=write_dense_report,
        recipe=config,
        counts={"num_train": len(train), "num_val": len(val)},
        drawings=(ANSWERS,),
        callbacks=[SaveDenseImage(run)],
        sync_bn=config.needs_sync,
        # A detector leaves maps of its backbone unused, and has images without objects.
        all_used=isinstance(task, SemanticTask),
        progress=f"training {description.network}",
        num_classes=description.num_classes if isinstance(task, SemanticTask) else None,
    )


def require_same_classes(train: DenseSet, val: DenseSet) -> None:
    """Raise InvalidValue where validation would judge something else."""
    if train.classes != val.classes:
        raise InvalidValue(
            f"training and validation data have other classes: {len(train.classes)} "
            f"({', '.join(train.classes[:4])} …) and {len(val.classes)} "
            f"({', '.join(val.classes[:4])} …)"
        )


def _made(
    model: DenseNetwork,
    train: DenseSet,
    val: DenseSet,
    config: DenseRecipe,
    described: DenseDescription,
) -> tuple[DenseTraining, tuple[Any, Any]]:
    """Make the task, and the loaders of training and validation."""
    steps = steps_per_epoch(config, len(train))
    task: DenseTraining
    draws: Any
    collate: Any
    if isinstance(train, SemanticSet):
        assert isinstance(val, SemanticSet)
        task = SemanticTask(model, config, steps, val, described)
        draws, collate = SemanticDraws(train, config), collate_crops
        order: Any = SemanticOrder(val)
    else:
        assert isinstance(val, DetectionSet)
        task = DetectionTask(model, config, steps, val)
        draws, collate = DetectionDraws(train, config), collate_items
        order = DetectionOrder(val)
    return task, (
        make_clip_loader(
            draws, config.batch_size, training=True, workers=config.workers, collate=collate
        ),
        make_clip_loader(
            order,
            validation_batch(config, len(val)),
            training=False,
            workers=config.workers,
            collate=collate_items,
        ),
    )


def validation_batch(config: DenseRecipe, count: int) -> int:
    """Return how many images a validation batch of one process has: every process needs one.

    Raises:
        InvalidValue: fewer images than processes.
    """
    if count < config.num_processes:
        raise InvalidValue(
            f"{config.num_processes} processes need an image each to validate on, and there are "
            f"{count}: use fewer with --num-processes, or more images"
        )
    # of count images in batches of this size the last process, too, gets the beginning of one
    return max(min(config.batch_size, (count - 1) // max(config.num_processes - 1, 1)), 1)
