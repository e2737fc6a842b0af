"""Training a classifier into a run folder that can be evaluated, exported and continued."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from pocketeye.data import ImageSet
from pocketeye.data.loaders.images import make_loader
from pocketeye.data.loaders.sampling import EpochSampler
from pocketeye.data.transforms.transforms import build_transform
from pocketeye.devices import is_first_process, rank_and_world
from pocketeye.errors import InvalidValue
from pocketeye.predicting.info import ModelInfo, input_stats
from pocketeye.runs import BEST as BEST
from pocketeye.runs import (
    CHECKPOINT,
    CURVES,
    LAST,
    RECIPE,
    REPORT,
    SAMPLES,
    RunFolder,
    write_atomic,
)
from pocketeye.runs import RESULT as RESULT
from pocketeye.training.classify.config import TrainConfig as TrainConfig
from pocketeye.training.classify.config import load_recipe as load_recipe
from pocketeye.training.classify.distill import Teacher, open_teacher
from pocketeye.training.classify.report import write_report
from pocketeye.training.classify.start import fixed_size, require_drop_path
from pocketeye.training.classify.task import ClassificationTask, has_distilled_head
from pocketeye.training.engine import figures
from pocketeye.training.engine.fit import threads
from pocketeye.training.engine.loop import fit_resumable, make_trainer
from pocketeye.training.engine.recipe import list_recipes as list_recipes
from pocketeye.training.engine.weights import SaveWeights

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What a training came to; ``top1`` is 0 to 1, on validation, of the best epoch (from 1)."""

    top1: float
    best_epoch: int
    epochs: int
    seconds: float
    weights: Path


def fit(
    model: nn.Module,
    train: ImageSet,
    val: ImageSet,
    config: TrainConfig,
    run: RunFolder,
    resume: bool = False,
    *,
    name: str | None = None,
    description: str = "training",
    teacher: Teacher | None = None,
) -> FitResult:
    """Train ``model`` and leave it with its best weights.

    Writes ``best.safetensors`` (highest validation top-1), ``last.safetensors``, ``last.ckpt``,
    ``metrics.csv``, ``curves.png``, ``samples.png`` (augmented inputs), ``model.json``,
    ``architecture.json`` (of networks that have one), ``recipe.yaml``, ``result.json`` and
    ``report.html``.

    Args:
        model: outputs ``(N, len(train.classes))``.
        train: training set.
        val: validation set of the same classes.
        config: the recipe; ``input_size`` None means :func:`choose_input_size`.
        run: an open run folder.
        resume: go on from ``last.ckpt``; the result is bit for bit that of one go (on a CPU).
        name: name of the network for ``model.json``; default its architecture's or class's.
        description: text of the progress bar.
        teacher: from :func:`~pocketeye.training.classify.distill.open_teacher`; by default opened
            here, where the recipe names one.

    Raises:
        InvalidValue: sets, network or teacher that do not fit together, a loss that is not finite, no
            room.
        UserError: interrupted; says how to go on.
    """
    asked = config
    if config.input_size is None:
        config = replace(config, input_size=choose_input_size(model, train))
    if config.flip and not train.mirrored_alike:
        logger.info("%s: flip is off, as mirrored samples mean something else", train.source)
        config = replace(config, flip=0.0)
    info = describe(model, train, config, name)
    require_fit(model, train, val, info, config)
    teacher = teacher or open_teacher(config, info)
    if config.drop_rate and hasattr(model, "drop_rate"):
        model.drop_rate = config.drop_rate  # type: ignore[assignment]
    with threads(config.threads):
        loaders = _loaders(train, val, config, info)
        if not resume and is_first_process():
            _begin(model, loaders[0], info, asked, run)
        task = ClassificationTask(model, config, info, teacher)
        trainer = make_trainer(
            run,
            max_epochs=config.epochs,
            seed=config.seed,
            device=config.device,
            num_processes=config.num_processes,
            precision=config.precision,
            description=description,
            sync_bn=config.sync_bn,
            callbacks=[SaveWeights(run)],
            gradient_clip_val=config.clip_grad or None,
            accumulate_grad_batches=config.accumulate,
        )
        fit_resumable(trainer, task, loaders, run, resume)
    return _finish(model, run, info, {"num_train": len(train), "num_val": len(val)})


def choose_input_size(model: nn.Module, images: ImageSet) -> int:
    """Side of the input in pixels, where the user named none.

    The network's own size, but not more than the stored images hold (and not below 32).
    """
    cfg = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None) or {}
    own = int((cfg.get("input_size") or (3, 224, 224))[-1])
    if len(images) == 0 or not images.in_memory:
        return own
    return min(own, max(32, *images.read(0).image.size))


def describe(model: nn.Module, train: ImageSet, config: TrainConfig, name: str | None) -> ModelInfo:
    """What one must know of the network to use it; ``config.input_size`` is set."""
    architecture = getattr(model, "architecture", None)
    mean, std = input_stats(model, train.in_chans)
    assert config.input_size is not None
    return ModelInfo(
        name=name or getattr(architecture, "name", None) or type(model).__name__,
        num_classes=len(train.classes),
        in_chans=train.in_chans,
        input_size=config.input_size,
        classes=train.classes,
        mean=mean,
        std=std,
        crop_pct=config.crop_pct,
        interpolation=config.interpolation,
        crop_mode=config.crop_mode,
        data=train.source,
        data_sha256=train.sha256,
    )


def require_fit(
    model: nn.Module, train: ImageSet, val: ImageSet, info: ModelInfo, config: TrainConfig
) -> None:
    """Raise InvalidValue for sets, network and recipe that do not fit together."""
    if train.classes != val.classes or train.in_chans != val.in_chans:
        raise InvalidValue(
            f"training and validation data do not fit together: {len(train.classes)} and "
            f"{len(val.classes)} classes, {train.in_chans} and {val.in_chans} channels"
        )
    first = next(p for p in model.parameters() if p.ndim == 4)
    if first.shape[1] != info.in_chans:
        raise InvalidValue(
            f"{info.name} takes {first.shape[1]} channels, but the images of {train.source} have "
            f"{info.in_chans}: make the network with in_chans={info.in_chans}"
        )
    outputs = getattr(model, "num_classes", info.num_classes)
    if outputs != info.num_classes:
        raise InvalidValue(
            f"{info.name} has {outputs} outputs, but {train.source} has {info.num_classes} classes: "
            f"make the network with num_classes={info.num_classes}"
        )
    require_drop_path(model, config.drop_path_rate, info.name)
    _require_sizes(model, info, config)
    processes = max(rank_and_world()[1], config.num_processes)
    sizes = [batch for _, batch in config.multi_scale]
    if len(train) < max(sum(sizes), config.batch_size if not sizes else 0) * processes:
        wanted = (
            f"a batch of each of the {len(sizes)} sizes ({sum(sizes)} in all)"
            if sizes
            else (f"one batch of {config.batch_size}")
        )
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise InvalidValue(f"{train.source} has {len(train)} images, fewer than {wanted}{each}")


def _require_sizes(model: nn.Module, info: ModelInfo, config: TrainConfig) -> None:
    own = fixed_size(model)
    if own is None:
        return
    for size in (info.input_size, *(size for size, _ in config.multi_scale)):
        if size != own:
            raise InvalidValue(
                f"{info.name} takes images of {own} pixels only, not of {size}: give --input-size "
                f"{own} and no multi_scale"
            )


def _loaders(
    train: ImageSet, val: ImageSet, config: TrainConfig, info: ModelInfo
) -> tuple[Any, Any]:
    transform, *scaled = (
        build_transform(True, size, info.in_chans, info.mean, info.std, config)
        for size in (info.input_size, *(size for size, _ in config.multi_scale))
    )
    batches = [batch for _, batch in config.multi_scale]
    return (
        make_loader(
            train, transform, config.batch_size, shuffle=True, seed=config.seed, drop_last=True,
            workers=config.workers, scales=list(zip(scaled, batches, strict=True)),
        ),
        make_loader(
            val, info.transform(), max(config.batch_size, 128),
            shuffle=False, seed=config.seed, drop_last=False, workers=config.workers,
            on_damage="ignore",
        ),
    )  # fmt: skip


def _begin(
    model: nn.Module, loader: Any, info: ModelInfo, config: TrainConfig, run: RunFolder
) -> None:
    """Describe the run before its first step, and take away what another one left in the folder."""
    for name in (BEST, LAST, RESULT, REPORT, CURVES, CHECKPOINT):
        (run / name).unlink(missing_ok=True)
    write_atomic(run / RECIPE, yaml.safe_dump(config.to_dict(), sort_keys=False))
    info.save(run.path)
    architecture = getattr(model, "architecture", None)
    if architecture is not None:
        adapted = architecture.with_(input_size=info.input_size, num_classes=info.num_classes)
        adapted.save(run / "architecture.json")
    sampler: EpochSampler = loader.batch_sampler.sampler
    keys = list(islice(sampler, 32))
    x, y = loader.dataset.__getitems__(keys)
    names = [info.classes[int(label)] for label in y]
    figures.save_samples(x, names, info.mean, info.std, run / SAMPLES)


def _finish(model: nn.Module, run: RunFolder, info: ModelInfo, counts: dict[str, int]) -> FitResult:
    from pocketeye.models import load_checkpoint

    load_checkpoint(model, run / BEST)
    if has_distilled_head(model):
        model.set_distilled_training(False)  # type: ignore[operator]
    model.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    rows = run.metrics()
    best = max(rows, key=lambda row: row["val/top1"])
    result = FitResult(
        top1=best["val/top1"],
        best_epoch=int(best["epoch"]) + 1,
        epochs=len(rows),
        seconds=round(sum(row["seconds"] for row in rows), 3),
        weights=run / BEST,
    )
    if is_first_process():
        title = f"{info.name} on {info.data}, {info.input_size} px"
        figures.save_curves(rows, run / CURVES, title)
        summary = {**asdict(result), "weights": BEST, "last_top1": rows[-1]["val/top1"], **counts}
        run.write_json(RESULT, {**summary, "params": sum(p.numel() for p in model.parameters())})
        write_report(run)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # under torchrun nobody returns before the files are there
    return result
