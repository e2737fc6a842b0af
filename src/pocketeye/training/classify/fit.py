"""Train a classifier into a run folder that can be evaluated, exported and continued."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from torch import nn

from pocketeye.data import ImageSet
from pocketeye.data.loaders.images import make_loader
from pocketeye.data.loaders.sampling import EpochSampler
from pocketeye.data.transforms.transforms import build_transform
from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue
from pocketeye.models.input_size import require_size
from pocketeye.predicting.info import ModelInfo, input_stats
from pocketeye.runs import ARCHITECTURE, SAMPLES, RunFolder
from pocketeye.training.classify.distill import Teacher, open_teacher
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.report import write_classify_report
from pocketeye.training.classify.start import require_drop_path
from pocketeye.training.classify.task import ClassificationTask, has_distilled_head
from pocketeye.training.engine import FitResult, TrainingPlan, fit_run, save_samples

logger = logging.getLogger(__name__)

# Validation keeps no gradients, so its batches may be larger than those of a small recipe.
_VAL_BATCH = 128
# Eight columns of four rows fill the width of a report.
_NUM_SAMPLES = 32


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Hold a training of which everything fits together, before anything is written.

    Attributes:
        asked: the recipe as the user gave it.
        config: the recipe as it is used: with an input size, and without mirroring where it would
            change what an image means.
        info: what one must know of the network to use it.
    """

    model: nn.Module
    train: ImageSet
    val: ImageSet
    asked: ClassifyRecipe
    config: ClassifyRecipe
    info: ModelInfo
    teacher: Teacher | None

    def fit(self, run: RunFolder, resume: bool = False) -> FitResult:
        """Train; see :func:`fit`."""
        config, info, model = self.config, self.info, self.model
        loaders = _loaders(self.train, self.val, config, info)
        plan = TrainingPlan(
            title=f"{info.name} on {info.data}, {info.input_size} px",
            task=ClassificationTask(model, config, info, self.teacher),
            loaders=loaders,
            describe=lambda folder: _describe_run(model, loaders[0], info, folder),
            report=write_classify_report,
            recipe=self.asked,
            counts={"num_train": len(self.train), "num_val": len(self.val)},
            drawings=(SAMPLES,),
            sync_bn=config.sync_bn,
            progress=f"training {info.name}",
            num_classes=info.num_classes,
        )
        result = fit_run(model, plan, run, resume)
        # A second head is for learning only: in use both heads are averaged.
        if has_distilled_head(model):
            model.set_distilled_training(False)  # type: ignore[operator]
        return result


def prepare(
    model: nn.Module,
    train: ImageSet,
    val: ImageSet,
    config: ClassifyRecipe,
    *,
    name: str | None = None,
    teacher: Teacher | None = None,
) -> Prepared:
    """Check that sets, network, recipe and teacher fit together; see :func:`fit` for the arguments.

    Raises:
        InvalidValue: they do not.
    """
    asked = config
    if config.input_size is None:
        config = replace(config, input_size=choose_input_size(model, train))
    if config.flip and not train.mirrored_alike:
        # A mirrored b is a d: such sets say so.
        logger.info("%s: flip is off, as mirrored samples mean something else", train.source)
        config = replace(config, flip=0.0)
    info = describe(model, train, config, name)
    _require_fit(model, train, val, info, config)
    teacher = teacher or open_teacher(config, info)
    # timm's classifiers read drop_rate when they are called: it can be set on one that is made.
    if config.drop_rate and hasattr(model, "drop_rate"):
        model.drop_rate = config.drop_rate  # type: ignore[assignment]
    return Prepared(
        model=model, train=train, val=val, asked=asked, config=config, info=info, teacher=teacher
    )


def fit(
    model: nn.Module,
    train: ImageSet,
    val: ImageSet,
    config: ClassifyRecipe,
    run: RunFolder,
    resume: bool = False,
    *,
    name: str | None = None,
    teacher: Teacher | None = None,
) -> FitResult:
    """Train ``model`` and leave it with its best weights.

    Besides the files of :func:`~pocketeye.training.engine.fit.fit_run` it writes ``samples.png``
    (augmented inputs), ``model.json`` and ``architecture.json`` (of networks that have one).

    Args:
        model: outputs ``(N, len(train.classes))``.
        train: training set.
        val: validation set of the same classes.
        config: the recipe; ``input_size`` None means :func:`choose_input_size`.
        run: an open run folder.
        resume: go on from ``last.ckpt``; the result is bit for bit that of one go (on a CPU).
        name: name of the network for ``model.json``; default its architecture's or class's.
        teacher: from :func:`~pocketeye.training.classify.distill.open_teacher`; by default opened
            here, where the recipe names one.

    Raises:
        InvalidValue: sets, network or teacher that do not fit together, a loss that is not finite, no
            room.
        UserError: interrupted; says how to go on.
    """
    return prepare(model, train, val, config, name=name, teacher=teacher).fit(run, resume)


def choose_input_size(model: nn.Module, images: ImageSet) -> int:
    """Return the side of the input in pixels, where the user named none.

    It is the network's own, but not more than the stored images hold (and not below 32, which
    networks halve five times).
    """
    cfg = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None) or {}
    own = int((cfg.get("input_size") or (3, 224, 224))[-1])
    # Images on disk have many sizes: only those in memory share one.
    if len(images) == 0 or not images.in_memory:
        return own
    return min(own, max(32, *images.read(0).image.size))


def describe(
    model: nn.Module, train: ImageSet, config: ClassifyRecipe, name: str | None
) -> ModelInfo:
    """Return what one must know of the network to use it; ``config.input_size`` is set."""
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


def _require_fit(
    model: nn.Module, train: ImageSet, val: ImageSet, info: ModelInfo, config: ClassifyRecipe
) -> None:
    """Raise InvalidValue for sets, network and recipe that do not fit together."""
    # Labels are numbers: with other classes they would mean something else.
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
    # Before hours of training, not after its first step.
    require_drop_path(model, config.drop_path_rate, info.name)
    _require_sizes(model, info, config)
    processes = max(rank_and_world()[1], config.num_processes)
    # Every epoch has a batch of each size: there must be images for all of them.
    sizes = [batch for _, batch in config.multi_scale]
    if len(train) < max(sum(sizes), config.batch_size if not sizes else 0) * processes:
        wanted = (
            f"a batch of each of the {len(sizes)} sizes ({sum(sizes)} in all)"
            if sizes
            else (f"one batch of {config.batch_size}")
        )
        each = f" in each of {processes} processes" if processes > 1 else ""
        raise InvalidValue(f"{train.source} has {len(train)} images, fewer than {wanted}{each}")


def _require_sizes(model: nn.Module, info: ModelInfo, config: ClassifyRecipe) -> None:
    for size in (info.input_size, *(size for size, _ in config.multi_scale)):
        require_size(model, size, info.name)


def _loaders(
    train: ImageSet, val: ImageSet, config: ClassifyRecipe, info: ModelInfo
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
        # A damaged image of validation is left out of the figures, and does not end the training.
        make_loader(
            val, info.transform(), max(config.batch_size, _VAL_BATCH),
            shuffle=False, seed=config.seed, drop_last=False, workers=config.workers,
            on_damage="ignore",
        ),
    )  # fmt: skip


def _describe_run(model: nn.Module, loader: Any, info: ModelInfo, run: RunFolder) -> None:
    """Write ``model.json``, ``architecture.json`` and, where it is missing, ``samples.png``."""
    info.save(run.path)
    architecture = getattr(model, "architecture", None)
    if architecture is not None:
        adapted = architecture.with_(input_size=info.input_size, num_classes=info.num_classes)
        adapted.save(run / ARCHITECTURE)
    # Of a run that goes on: the samples of its beginning are kept.
    if (run / SAMPLES).is_file():
        return
    # The first samples of the epoch, exactly as training draws them.
    sampler: EpochSampler = loader.batch_sampler.sampler
    x, y = loader.dataset.__getitems__(list(islice(sampler, _NUM_SAMPLES)))
    names = [info.classes[int(label)] for label in y]
    save_samples(x, names, info.mean, info.std, run / SAMPLES)
