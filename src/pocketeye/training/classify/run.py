"""Train a classifier from what a user names."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pocketeye.data import DIGITS, ImageSet, load_images
from pocketeye.metrics import wilson_interval
from pocketeye.models import Architecture
from pocketeye.models.reference import ArchitectureFile, Run, resolve
from pocketeye.predicting.info import ModelInfo
from pocketeye.training.classify.fit import choose_input_size, prepare
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.report import next_commands
from pocketeye.training.classify.start import start_network
from pocketeye.training.engine import (
    RunOptions,
    TrainedRun,
    as_text,
    check_device,
    num_params,
    require_classes,
    split_options,
    warn_of_test_split,
)


def usual_recipe(data: str) -> str:
    """Return the name of the recipe for data of which the user says nothing more."""
    return "digits" if data == DIGITS else "small-cpu"


def run_classifier(
    model: str,
    *,
    data: str,
    recipe: str | None = None,
    pretrained: bool = False,
    checkpoint: Path | None = None,
    new_head: bool = False,
    options: RunOptions,
    **fields: Any,
) -> TrainedRun:
    """Open data and network, train, and say what came of it.

    Args:
        fields: further fields of the recipe; None leaves the recipe's.

    See :func:`pocketeye.train_classifier` for the other arguments and the errors.
    """
    # Where a run goes is no part of its recipe.
    place, changes = split_options(options)
    config = ClassifyRecipe.load(recipe or usual_recipe(data), **changes, **fields)
    # Before data are read: a device that is not there ends everything.
    check_device(
        config.device, precision=config.precision, sync_bn=config.sync_bn,
        num_processes=config.num_processes,
    )  # fmt: skip
    train, val = load_images(data, "train"), load_images(data, "val")
    require_classes(train.classes, data)
    warn_of_test_split(val.problems)
    module = start_network(
        model, train, config, pretrained=pretrained, checkpoint=checkpoint, new_head=new_head
    )
    # The network may have a size of its own, which only it can tell.
    if config.input_size is None:
        config = replace(config, input_size=_input_size(model, module, train))
    assert config.input_size is not None
    name = _name(model)
    prepared = prepare(module, train, val, config, name=name)
    teacher = prepared.teacher
    # What must be the same where a run goes on.
    asked = {
        "model": model,
        "data": data,
        "data_sha256": train.sha256,
        "pretrained": pretrained,
        "checkpoint": as_text(checkpoint),
        "new_head": new_head,
        "teacher_sha256": teacher.sha256 if teacher else None,
    }
    with place.held(f"{name}-on-{Path(data).stem}", asked, config) as run:
        fitted = prepared.fit(run, place.resume)
    return TrainedRun(
        task=config.task,
        network=name,
        data=data,
        out=run.path,
        fitted=fitted,
        validation=f"{len(val)} images",
        interval=_interval(fitted.value, len(val)),
        input_size=config.input_size,
        num_train=len(train),
        num_val=len(val),
        params=num_params(module),
        started=_started(model, checkpoint, train),
        # Those of validation first: that a test split chose the epoch must not be cut off.
        problems=(*val.problems, *train.problems),
        epochs_before=tuple(run.epochs_before),
        commands=tuple(next_commands(run.path, data)),
    )


def _interval(value: float, count: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a share of ``count`` images; None where there is no share."""
    return wilson_interval(round(value * count), count) if math.isfinite(value) else None


def _input_size(model: str, module: torch.nn.Module, images: ImageSet) -> int:
    """Return an architecture file's own size, or else the one that suits network and images."""
    architecture: Any = getattr(module, "architecture", None)
    from_file = isinstance(resolve(model), ArchitectureFile | Run)
    # An architecture was searched and measured at its size.
    if from_file and isinstance(architecture, Architecture):
        return architecture.side
    return choose_input_size(module, images)


def _name(model: str) -> str:
    """Return a registered name itself; of a file ``NAME/architecture.json`` the folder's name.

    Of a run it is the name of its network: what is trained from it must not need its folder again.
    """
    named = resolve(model)
    return _name(ModelInfo.load(named.folder).name) if isinstance(named, Run) else named.name


def _started(model: str, checkpoint: Path | None, images: ImageSet) -> str:
    """Say in words which weights a run began with, where it was named by another run."""
    named = resolve(model)
    if checkpoint is not None or not isinstance(named, Run):
        return ""
    own = ModelInfo.load(named.folder).classes
    afresh = "" if len(own) == len(images.classes) else ", its classifier afresh"
    # Another number of classes: the head of the run could not be used.
    return f"the weights of {named.name}{afresh}"
