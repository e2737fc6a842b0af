"""Training a tracker into a run folder that tracks, and can be continued."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import yaml

from pocketeye.data.clips.clips import ClipSource
from pocketeye.data.loaders.clips import make_clip_loader
from pocketeye.devices import is_first_process
from pocketeye.errors import InvalidValue
from pocketeye.models import load_checkpoint
from pocketeye.models.tam import TAM
from pocketeye.models.tam.described import TrackerDescription
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
from pocketeye.training.engine.fit import threads
from pocketeye.training.engine.loop import fit_resumable, make_trainer
from pocketeye.training.engine.weights import SaveWeights
from pocketeye.training.tam.config import TamConfig, samples_per_epoch
from pocketeye.training.tam.distill import FeatureTeacher
from pocketeye.training.tam.figures import STRIP, SaveStrip, save_tracker_curves
from pocketeye.training.tam.report import write_tracker_report
from pocketeye.training.tam.segment_anything import SegmentAnythingTask
from pocketeye.training.tam.task import TamTraining
from pocketeye.training.tam.track import TrackTask

_TASKS: dict[str, type[TamTraining]] = {
    "segment-anything": SegmentAnythingTask,
    "track": TrackTask,
}


@dataclass(frozen=True, kw_only=True)
class TrackerFitResult:
    """What a training came to; ``iou`` is 0 to 1, on validation, of the best epoch (from 1)."""

    iou: float
    best_epoch: int
    epochs: int
    seconds: float


def fit_tracker(
    model: TAM,
    train: ClipSource,
    val: ClipSource,
    config: TamConfig,
    run: RunFolder,
    resume: bool = False,
    *,
    description: TrackerDescription,
    teacher: FeatureTeacher | None = None,
) -> TrackerFitResult:
    """Train ``model`` and leave it with its best weights.

    Writes ``best.safetensors`` (highest ``val/iou``), ``last.safetensors``, ``last.ckpt``,
    ``metrics.csv``, ``validation.png``, ``curves.png``, ``model.json``, ``recipe.yaml``,
    ``result.json`` and ``report.html``.

    Args:
        train: as many samples as :func:`samples_per_epoch`, of the network's size; batches of one
            length.
        val: clips of one length.
        resume: go on from ``last.ckpt``; the result is bit for bit that of one go (on a CPU).
        teacher: a tracker whose features the image encoder learns too.

    Raises:
        InvalidValue: a source of another length, a loss that is not finite, no room.
        UserError: interrupted; says how to go on.
    """
    assert len(train) == samples_per_epoch(config), "the source is made for this recipe"
    with threads(config.threads):
        loaders = (
            make_clip_loader(train, config.batch_size, training=True, workers=config.workers),
            make_clip_loader(val, config.batch_size, training=False, workers=config.workers),
        )
        if not resume and is_first_process():
            _begin(config, description, run)
        task = _TASKS[config.task](model, config, teacher)
        trainer = make_trainer(
            run,
            max_epochs=config.epochs,
            seed=config.seed,
            device=config.device,
            num_processes=config.num_processes,
            precision=config.precision,
            description=f"training {description.variant}",
            callbacks=[SaveWeights(run, "val/iou"), SaveStrip(run)],
            all_used=False,
            gradient_clip_val=config.clip_grad or None,
            accumulate_grad_batches=config.accumulate,
        )
        fit_resumable(trainer, task, loaders, run, resume)
    return _finish(model, run, description)


def _begin(config: TamConfig, description: TrackerDescription, run: RunFolder) -> None:
    """Describe the run before its first step, and take away what another one left in the folder."""
    for name in (BEST, LAST, RESULT, REPORT, CURVES, STRIP, CHECKPOINT):
        (run / name).unlink(missing_ok=True)
    write_atomic(run / RECIPE, yaml.safe_dump(config.to_dict(), sort_keys=False))
    description.save(run.path)


def _finish(model: TAM, run: RunFolder, description: TrackerDescription) -> TrackerFitResult:
    load_checkpoint(model, run / BEST)
    model.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    rows = run.metrics()
    best = max(rows, key=lambda row: row["val/iou"])
    result = TrackerFitResult(
        iou=best["val/iou"],
        best_epoch=int(best["epoch"]) + 1,
        epochs=len(rows),
        seconds=round(sum(row["seconds"] for row in rows), 3),
    )
    if is_first_process():
        title = f"{description.variant} on {description.data}, {require_square(model)} px"
        save_tracker_curves(rows, run / CURVES, title)
        summary: dict[str, Any] = {**asdict(result), "weights": BEST}
        run.write_json(RESULT, {**summary, "last_iou": rows[-1]["val/iou"],
                                "params": sum(p.numel() for p in model.parameters())})  # fmt: skip
        write_tracker_report(run)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # under torchrun nobody returns before the files are there
    return result


def require_square(model: TAM) -> int:
    """The side of the network's image.

    Raises:
        InvalidValue: it is no square.
    """
    height, width = model.image_size
    if height != width:
        raise InvalidValue(
            f"trackers are trained on squares, to which images are stretched, not on {height}x{width}"
        )
    return height
