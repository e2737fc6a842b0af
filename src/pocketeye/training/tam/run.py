"""Train a tracker from what a user names."""

from __future__ import annotations

from pathlib import Path

import torch

from pocketeye.errors import InvalidValue
from pocketeye.models.tam import create_tam
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.task import Task
from pocketeye.tracking import open_model
from pocketeye.training.engine.loop import check_device, open_run
from pocketeye.training.engine.run import RunOptions, TrainedRun, as_text, split_options
from pocketeye.training.tam.distill import FeatureTeacher
from pocketeye.training.tam.fit import fit_tracker, require_square
from pocketeye.training.tam.init import look_near_first
from pocketeye.training.tam.recipe import TamRecipe
from pocketeye.training.tam.report import VALIDATION, next_commands
from pocketeye.training.tam.sources import open_sets, training_clips, validation_clips
from pocketeye.training.tam.start import begin_with


def run_tracker(
    task: Task,
    model: str,
    *,
    data: str,
    recipe: str,
    trunk: str | None = None,
    checkpoint: Path | None = None,
    start_from: Path | None = None,
    teacher: str | None = None,
    teacher_checkpoint: Path | None = None,
    input_size: int | None = None,
    synthetic_share: float | None = None,
    options: RunOptions,
) -> TrainedRun:
    """Open data and network, train, and say what came of it.

    See :func:`pocketeye.train_tracker` for the arguments and the errors.
    """
    place, changes = split_options(options)
    config = TamRecipe.load(
        recipe, task.name, input_size=input_size, synthetic_share=synthetic_share, **changes
    )
    check_device(config.device, precision=config.precision, num_processes=config.num_processes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = create_tam(model, config.input_size, trunk=trunk)
    size = require_square(network)
    if checkpoint is None:
        look_near_first(network)
    started = begin_with(network, checkpoint=checkpoint, start_from=start_from)
    taught = _open_teacher(teacher, teacher_checkpoint)
    sets = open_sets([path for path in data.split(",") if path])
    train, val = training_clips(sets, config, size), validation_clips(sets, config, size)
    folder = place.folder(f"{model}-{task}")
    asked = {
        "model": model,
        "data": data,
        "trunk": trunk,
        "checkpoint": as_text(checkpoint),
        "start_from": as_text(start_from),
        "teacher": teacher,
        "teacher_checkpoint": as_text(teacher_checkpoint),
        "teacher_sha256": taught.sha256 if taught else None,
    }
    run = open_run(
        folder, {**asked, **config.to_dict()}, resume=place.resume, overwrite=place.overwrite
    )
    description = TrackerDescription(
        task=task, variant=model, image_size=network.image_size, trunk=trunk, data=data
    )
    fitted = fit_tracker(
        network, train, val, config, run, place.resume, description=description, teacher=taught
    )
    return TrainedRun(
        task=config.task,
        network=model,
        data=data,
        out=folder,
        fitted=fitted,
        validation=VALIDATION[task],
        input_size=size,
        params=sum(p.numel() for p in network.parameters()),
        started=started,
        sets=tuple(sets.lines()),
        problems=tuple(sets.problems),
        commands=tuple(next_commands(folder, model, task)),
    )


def _open_teacher(name: str | None, checkpoint: Path | None) -> FeatureTeacher | None:
    """Return the tracker whose features are learnt, or None where none was named."""
    if name is None:
        if checkpoint is not None:
            raise InvalidValue("--teacher-checkpoint is given without a teacher: name one")
        return None
    return FeatureTeacher(open_model(name, checkpoint=checkpoint, device="cpu"), name)
