"""Training a detector or segmenter into a run folder that can be judged, exported and continued."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import yaml

from pocketeye.data.detection.samples import DetectionSet
from pocketeye.data.loaders.clips import make_clip_loader
from pocketeye.data.semantic.samples import SemanticSet
from pocketeye.devices import is_first_process
from pocketeye.errors import InvalidValue
from pocketeye.models import load_checkpoint
from pocketeye.models.dense.described import DenseDescription, DenseNetwork
from pocketeye.runs import (
    BEST,
    CHECKPOINT,
    CURVES,
    LAST,
    RECIPE,
    REPORT,
    RESULT,
    RunFolder,
    write_atomic,
)
from pocketeye.training.dense.config import DenseConfig
from pocketeye.training.dense.data import (
    DetectionDraws,
    DetectionOrder,
    SemanticDraws,
    SemanticOrder,
    collate_crops,
    collate_items,
    steps_per_epoch,
)
from pocketeye.training.dense.figures import STRIP, SaveDenseImage, save_dense_curves
from pocketeye.training.dense.report import write_dense_report
from pocketeye.training.dense.task import DenseTraining, DetectionTask, SemanticTask
from pocketeye.training.engine.fit import threads
from pocketeye.training.engine.loop import fit_resumable, make_trainer
from pocketeye.training.engine.weights import SaveWeights

DenseSet = DetectionSet | SemanticSet
# What counts first, and what is drawn beside it.
METRICS: dict[str, dict[str, str]] = {
    "detect": {"val/ap": "box AP", "val/ap50": "box AP at 0.5"},
    "instance": {"val/ap": "mask AP", "val/ap50": "mask AP at 0.5", "val/box_ap": "box AP"},
    "semantic": {"val/miou": "mean IoU", "val/accuracy": "pixels right"},
}


@dataclass(frozen=True, kw_only=True)
class DenseFitResult:
    """What a training came to; ``value`` is AP or mean IoU (0 to 1) of the best epoch (from 1)."""

    metric: str
    value: float
    best_epoch: int
    epochs: int
    seconds: float


def fit_dense(
    model: DenseNetwork,
    train: DenseSet,
    val: DenseSet,
    config: DenseConfig,
    run: RunFolder,
    resume: bool = False,
    *,
    description: DenseDescription,
) -> DenseFitResult:
    """Train ``model`` and leave it with its best weights.

    Writes ``best.safetensors`` (highest ``val/ap`` or ``val/miou``), ``last.safetensors``,
    ``last.ckpt``, ``metrics.csv``, ``validation.png``, ``curves.png``, ``model.json``,
    ``recipe.yaml``, ``result.json`` and ``report.html``.

    Args:
        train, val: of the task's kind, with the same classes.
        resume: go on from ``last.ckpt``; the result is bit for bit that of one go (on a CPU).

    Raises:
        InvalidValue: sets of different classes, a loss that is not finite, no room.
        UserError: interrupted; says how to go on.
    """
    require_same_classes(train, val)
    first = next(iter(METRICS[config.task]))
    with threads(config.threads):
        if not resume and is_first_process():
            _begin(config, description, run)
        task, loaders = _made(model, train, val, config, description)
        trainer = make_trainer(
            run,
            max_epochs=config.epochs,
            seed=config.seed,
            device=config.device,
            num_processes=config.num_processes,
            precision=config.precision,
            sync_bn=config.needs_sync,
            description=f"training {description.network}",
            callbacks=[SaveWeights(run, first), SaveDenseImage(run)],
            # a detector leaves maps of its backbone unused, and has images without objects
            all_used=config.task == "semantic",
            gradient_clip_val=config.clip_grad or None,
            accumulate_grad_batches=config.accumulate,
        )
        fit_resumable(trainer, task, loaders, run, resume)
    counts = {"num_train": len(train), "num_val": len(val)}
    return _finish(model, run, description, counts)


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
    config: DenseConfig,
    described: DenseDescription,
) -> tuple[DenseTraining, tuple[Any, Any]]:
    """The task, and loaders of training and validation."""
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


def validation_batch(config: DenseConfig, count: int) -> int:
    """Images a validation batch of one process: so many that every process has one.

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


def _begin(config: DenseConfig, description: DenseDescription, run: RunFolder) -> None:
    """Describe the run before its first step, and take away what another one left in the folder."""
    for name in (BEST, LAST, RESULT, REPORT, CURVES, STRIP, CHECKPOINT):
        (run / name).unlink(missing_ok=True)
    write_atomic(run / RECIPE, yaml.safe_dump(config.to_dict(), sort_keys=False))
    description.save(run.path)


def _finish(
    model: DenseNetwork, run: RunFolder, description: DenseDescription, counts: dict[str, int]
) -> DenseFitResult:
    load_checkpoint(model, run / BEST)
    model.eval()
    rows, metrics = run.metrics(), METRICS[description.task.name]
    key = next(iter(metrics))
    best = max(rows, key=lambda row: row[key])
    result = DenseFitResult(
        metric=metrics[key],
        value=best[key],
        best_epoch=int(best["epoch"]) + 1,
        epochs=len(rows),
        seconds=round(sum(row["seconds"] for row in rows), 3),
    )
    if is_first_process():
        title = f"{description.network} with {description.backbone} on {description.data}"
        save_dense_curves(rows, run / CURVES, title, metrics)
        others = {name.partition("/")[2]: best[name] for name in metrics}
        summary = {**asdict(result), **others, **counts, "weights": BEST}
        run.write_json(RESULT, {**summary, "params": sum(p.numel() for p in model.parameters())})
        write_dense_report(run, metrics)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # under torchrun nobody returns before the files are there
    return result
