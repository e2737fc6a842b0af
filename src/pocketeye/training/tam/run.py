"""Train a tracker from what a user names."""

from __future__ import annotations

from pathlib import Path

import torch

from pocketeye.errors import InvalidValue
from pocketeye.models.tam import create_tam
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import Task
from pocketeye.tracking import open_model
from pocketeye.training.engine import (
    RunOptions,
    TrainedRun,
    add_args_of,
    as_text,
    check_device,
    fit_run,
    num_params,
    split_options,
)
from pocketeye.training.tam.distill import FeatureTeacher
from pocketeye.training.tam.fit import require_square, tracker_plan
from pocketeye.training.tam.init import look_near_first
from pocketeye.training.tam.recipe import TamRecipe
from pocketeye.training.tam.report import VALIDATION, next_commands
from pocketeye.training.tam.sources import open_sets, training_clips, validation_clips
from pocketeye.training.tam.start import begin_with, measure_maps


class TamOptions(RunOptions, total=False):
    """Options of the training of a tracker.

    Args:
        input_size: side of the input in pixels; by default the recipe's or the network's.
        trunk: another image encoder, any timm backbone.
        checkpoint: take all weights from this run or file, which must hold the same network.
        start_from: take the weights that fit from another network. The run of a classifier gives its
            backbone to the image encoder; a file of EfficientSAM, SAM 2 or EfficientTAM gives what has
            the same shape.
        teacher: a tracker whose image features are learnt too: a run folder or a name.
        teacher_checkpoint: weights of the teacher.
    """

    input_size: int
    trunk: str
    checkpoint: Path
    start_from: Path
    teacher: str
    teacher_checkpoint: Path


add_args_of(RunOptions, TamOptions)


def run_tracker(
    task: Task,
    model: str,
    *,
    data: str,
    recipe: str,
    synthetic_share: float | None = None,
    options: TamOptions,
) -> TrainedRun:
    """Open data and network, train, and say what came of it.

    See :func:`pocketeye.train_tracker` for the arguments and the errors.
    """
    place, changes = split_options(options)
    name = f"{model}-{task}"
    trunk, checkpoint, start_from, teacher, teacher_checkpoint = (
        changes.pop(name, None)
        for name in ("trunk", "checkpoint", "start_from", "teacher", "teacher_checkpoint")
    )
    config = TamRecipe.load(recipe, task.name, synthetic_share=synthetic_share, **changes)
    check_device(config.device, precision=config.precision, num_processes=config.num_processes)
    # Random weights depend on the seed alone, and the caller's generator is left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = create_tam(model, config.input_size, trunk=trunk)
    size = require_square(network)
    # Before the weights of a relative, which overwrite it where they fit.
    if checkpoint is None:
        look_near_first(network)
    started = begin_with(network, checkpoint=checkpoint, start_from=start_from)
    if config.frozen_stride and not started and not place.goes_on(name):
        raise InvalidValue(
            f"frozen_stride {config.frozen_stride} keeps layers that nothing has trained: "
            "give --start-from (tf_efficientnet_lite0, say) or --checkpoint, or a recipe without it"
        )
    teacher_features = _open_teacher(teacher, teacher_checkpoint)
    sets = open_sets([path for path in data.split(",") if path])
    train, val = training_clips(sets, config, size), validation_clips(sets, config, size)
    request = {
        "model": model,
        "data": data,
        "trunk": trunk,
        "checkpoint": as_text(checkpoint),
        "start_from": as_text(start_from),
        "teacher": teacher,
        "teacher_checkpoint": as_text(teacher_checkpoint),
        "teacher_sha256": teacher_features.sha256 if teacher_features else None,
    }
    description = TrackerDescription(
        task=task, variant=model, image_size=network.image_size, trunk=trunk, data=data
    )
    # The norms of a run that goes on are in its checkpoint.
    if checkpoint is None and not place.goes_on(name):
        measure_maps(network, train)
    plan = tracker_plan(
        network, train, val, config, place.folder(name), description, teacher_features
    )
    with place.held(name, request, config) as run:
        fitted = fit_run(network, plan, run, place.resume)
    return TrainedRun(
        task=config.task,
        network=model,
        data=data,
        out=run.path,
        fitted=fitted,
        validation=VALIDATION[task],
        input_size=size,
        params=num_params(network),
        started=started,
        sets=tuple(sets.lines()),
        problems=tuple(sets.problems),
        epochs_before=tuple(run.epochs_before),
        commands=tuple(next_commands(run.path, model, task)),
    )


def _open_teacher(name: str | None, checkpoint: Path | None) -> FeatureTeacher | None:
    """Return the tracker whose features are learnt, or None where none was named."""
    if name is None:
        if checkpoint is not None:
            raise InvalidValue("--teacher-checkpoint is given without a teacher: name one")
        return None
    return FeatureTeacher(open_model(name, checkpoint=checkpoint, device="cpu"), name)
