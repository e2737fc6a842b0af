"""Train a detector or segmenter from what a user names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pocketeye.devices import resolve_device
from pocketeye.errors import InvalidValue
from pocketeye.models.dense.backbone import STRIDES
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.input_size import require_any_shape
from pocketeye.models.task import Task
from pocketeye.training.dense.fit import DenseSet, dense_plan
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.report import next_commands
from pocketeye.training.dense.sets import open_sets, require_content
from pocketeye.training.dense.start import Backbone, begin_with, find_backbone
from pocketeye.training.engine import (
    RunOptions,
    TrainedRun,
    add_args_of,
    as_text,
    check_device,
    fit_run,
    num_params,
    split_options,
    warn_of_frozen,
)

# torchvision's ratio of the longer to the shorter side, for --input-size.
_LONGEST = 1333 / 800


class DenseOptions(RunOptions, total=False):
    """Hold the options of the training of a detector or segmenter.

    Args:
        input_size: shorter side of the images in pixels, in training and use.
        pretrained: begin with the published weights of the backbone: from their pip package, or
            fetched.
        checkpoint: take all weights from this run or file, which must hold the same network for the same
            classes.
        start_from: take the weights of the backbone alone from this run or file.
    """

    input_size: int
    pretrained: bool
    checkpoint: Path
    start_from: Path


add_args_of(RunOptions, DenseOptions)


def run_dense(
    task: Task,
    backbone: str,
    *,
    data: str,
    recipe: str,
    classes: str | None = None,
    options: DenseOptions,
) -> TrainedRun:
    """Open data and network, train, and say what came of it.

    See :func:`pocketeye.train_detector` for the arguments and the errors.
    """
    place, changes = split_options(options)
    pretrained = changes.pop("pretrained", False)
    checkpoint, start_from = changes.pop("checkpoint", None), changes.pop("start_from", None)
    # Sides are the task's affair: detectors have a limit of the longer one too.
    sizes = sizes_of(task, changes.pop("input_size", None))
    config = DenseRecipe.load(recipe, task.name, **changes, **sizes)
    # Before the data: a device that is not there ends everything.
    _require_device(config)
    named = find_backbone(backbone)
    train, val = open_sets(config, data, classes)
    require_content(train, val)
    description = _description(task, named, train, config, data)
    # The seed of the recipe alone decides the new weights.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = description.make(**network_options(config, pretrained))
    # Networks of one input size cannot take whole images.
    require_any_shape(network.backbone.body, named.name)
    started = begin_with(network, named, pretrained, checkpoint, start_from)
    frozen = f"part of the backbone (trainable_stages: {config.trainable_stages} of 4)"
    has_weights = bool(pretrained or checkpoint or start_from or named.weights)
    warn_of_frozen(frozen if config.trainable_stages < len(STRIDES) else "", has_weights)
    asked = {
        "backbone": backbone,
        "data": data,
        "classes": classes,
        "pretrained": pretrained,
        "checkpoint": as_text(checkpoint),
        "start_from": as_text(start_from),
    }
    name = f"{description.network}-{named.name}-on-{Path(data).stem}"
    plan = dense_plan(network, train, val, config, place.folder(name), description)
    with place.held(name, asked, config) as run:
        fitted = fit_run(network, plan, run, place.resume)
    return TrainedRun(
        task=config.task,
        network=f"{description.network} with {description.backbone}",
        data=data,
        out=run.path,
        fitted=fitted,
        validation=f"{len(val)} images",
        input_size=config.input_size,
        num_train=len(train),
        num_val=len(val),
        params=num_params(network),
        started=started,
        # both parts may say the same of the set
        problems=tuple(dict.fromkeys((*train.problems, *val.problems))),
        epochs_before=tuple(run.epochs_before),
        commands=tuple(next_commands(run.path, description)),
    )


def _description(
    task: Task, named: Backbone, train: DenseSet, config: DenseRecipe, data: str
) -> DenseDescription:
    """Return what one must know of the network to use it."""
    return DenseDescription(
        task=task, backbone=named.name, architecture=named.architecture,
        classes=train.classes, category_ids=getattr(train, "category_ids", ()),
        min_size=config.input_size, max_size=config.max_size, fpn_channels=config.fpn_channels,
        head_channels=config.head_channels, norms=config.norms, data=data, **named.statistics,
    )  # fmt: skip


def _require_device(config: DenseRecipe) -> None:
    """Refuse a device that cannot do what the recipe asks for."""
    check_device(config.device, precision=config.precision, num_processes=config.num_processes)
    if config.needs_sync and resolve_device(config.device).type != "cuda":
        raise InvalidValue(
            "this recipe takes the statistics of BN over all processes (norms or head_norms: sync), "
            "which needs CUDA devices: use a copy of it that says live"
        )


def network_options(config: DenseRecipe, pretrained: bool = False) -> dict[str, Any]:
    """Return what a recipe says of the network, for :meth:`DenseDescription.make`."""
    options: dict[str, Any] = {
        "pretrained": pretrained,
        "trainable_stages": config.trainable_stages,
    }
    if config.drop_path_rate:
        options["backbone_kwargs"] = {"drop_path_rate": config.drop_path_rate}
    if config.record.labels_pixels:
        return {**options, "head_norms": config.head_norms, "drop_rate": config.drop_rate}
    return {**options, "min_size": config.train_sizes}


def sizes_of(task: Task, input_size: int | None) -> dict[str, Any]:
    """Return the fields that ``--input-size`` means: the shorter side, in training and use.

    The crops that a segmenter learns from stay as they are, and so does its limit of the longer side.
    """
    if input_size is None:
        return {}
    sizes: dict[str, Any] = {"input_size": input_size, "train_sizes": (input_size,)}
    # Detectors keep torchvision's ratio of the two sides.
    return sizes if task.labels_pixels else {**sizes, "max_size": round(input_size * _LONGEST)}
