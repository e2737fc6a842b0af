"""Train a detector or segmenter from what a user names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from pocketeye.data import SemanticSet, load_detection, load_semantic
from pocketeye.devices import resolve_device
from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, create_model, load_backbone, load_checkpoint
from pocketeye.models.dense.backbone import STRIDES
from pocketeye.models.dense.described import DenseDescription, DenseNetwork
from pocketeye.models.input_size import require_any_shape
from pocketeye.models.reference import ArchitectureFile, Run, expect
from pocketeye.models.task import CLASSIFY, Task
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import ARCHITECTURE, BEST
from pocketeye.training.dense.fit import DenseSet, dense_plan
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.report import next_commands
from pocketeye.training.engine import (
    RunOptions,
    TrainedRun,
    add_args_of,
    as_text,
    check_device,
    fit_run,
    num_params,
    require_classes,
    require_objects,
    split_options,
    warn_of_frozen,
)

# torchvision's ratio of the longer to the shorter side, for --input-size.
_LONGEST = 1333 / 800


@dataclass(frozen=True, kw_only=True)
class _Backbone:
    """Hold what the user named: its registered name or architecture, how it sees, and its weights."""

    name: str
    architecture: dict[str, Any] | None
    statistics: dict[str, tuple[float, ...]]
    weights: Path | None


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
    named = _backbone(backbone)
    train, val = open_sets(config, data, classes)
    _require_content(train, val)
    description = _description(task, named, train, config, data)
    # The seed of the recipe alone decides the new weights.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = description.make(**network_options(config, pretrained))
    # Networks of one input size cannot take whole images.
    require_any_shape(network.backbone.body, named.name)
    started = _begin(network, named, pretrained, checkpoint, start_from)
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
    task: Task, named: _Backbone, train: DenseSet, config: DenseRecipe, data: str
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


def open_sets(config: DenseRecipe, data: str, classes: str | None) -> tuple[DenseSet, DenseSet]:
    """Open the parts ``train`` and ``val`` of a set of the task's kind."""
    if config.record.labels_pixels:
        train, val = (load_semantic(data, split, classes=classes) for split in ("train", "val"))
        return train, val
    masks = config.record.outlines_objects
    first, second = (load_detection(data, split, masks=masks) for split in ("train", "val"))
    return first, second


def _require_content(train: DenseSet, val: DenseSet) -> None:
    """Refuse sets in which there is nothing to learn, before anything is made."""
    if isinstance(train, SemanticSet) or isinstance(val, SemanticSet):
        # A segmenter needs two classes; whether masks are empty only reading tells.
        require_classes(train.classes, train.source)
        return
    first, second = (int((~part.objects.crowd).sum()) for part in (train, val))
    names = (f"{part.source} ({part.split or 'all'})" for part in (train, val))
    require_objects(first, second, *names)


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


def _backbone(name: str) -> _Backbone:
    """Find the backbone that a user named: registered, an architecture, or of a classifier's run.

    Raises:
        InvalidValue: unknown, or a network of another kind. MissingFile: a run without weights.
    """
    named = expect(name, "a training as its backbone", (CLASSIFY,), artifacts=False)
    if isinstance(named, Run):
        return _of_run(named)
    if isinstance(named, ArchitectureFile):
        architecture = Architecture.load(named.path)
        return _Backbone(name=architecture.name, architecture=json.loads(architecture.to_json()),
                         statistics={}, weights=None)  # fmt: skip
    # On meta: only what it says of itself is wanted, not its weights.
    with torch.device("meta"):
        model = create_model(name)
    return _Backbone(name=name, architecture=None, statistics=_statistics(model), weights=None)


def _of_run(run: Run) -> _Backbone:
    """Open a classifier's run: its network, how it saw images, its best weights."""
    info = ModelInfo.load(run.folder)
    architecture = None
    # A network that timm does not know is made of its architecture.
    if not timm.is_model(info.name.partition(".")[0]):
        architecture = json.loads(Architecture.load(run.folder / ARCHITECTURE).to_json())
    return _Backbone(
        name=info.name, architecture=architecture, weights=run.weights,
        statistics={"mean": info.mean, "std": info.std},
    )  # fmt: skip


def _statistics(model: nn.Module) -> dict[str, tuple[float, ...]]:
    cfg: Any = getattr(model, "default_cfg", None) or {}
    return {key: tuple(cfg[key]) for key in ("mean", "std") if cfg.get(key) is not None}


def _begin(
    network: DenseNetwork,
    named: _Backbone,
    pretrained: bool,
    checkpoint: Path | None,
    start_from: Path | None,
) -> str:
    """Load what a training begins with; one sentence on what that was."""
    if checkpoint is not None:
        path = checkpoint / BEST if checkpoint.is_dir() else checkpoint
        load_checkpoint(network, path)
        return f"all weights are those of {checkpoint}"
    # What is named wins over what a run brings along.
    weights = start_from or named.weights
    if weights is not None:
        path = weights / BEST if weights.is_dir() else weights
        load_backbone(network, path)
        return f"the backbone's weights are those of {weights}"
    if pretrained:
        return f"the backbone's weights are the published ones of {named.name}"
    return "all weights are new: a trained backbone makes this faster and better (--start-from)"


def sizes_of(task: Task, input_size: int | None) -> dict[str, Any]:
    """Return the fields that ``--input-size`` means: the shorter side, in training and use.

    The crops that a segmenter learns from stay as they are, and so does its limit of the longer side.
    """
    if input_size is None:
        return {}
    sizes: dict[str, Any] = {"input_size": input_size, "train_sizes": (input_size,)}
    # Detectors keep torchvision's ratio of the two sides.
    return sizes if task.labels_pixels else {**sizes, "max_size": round(input_size * _LONGEST)}
