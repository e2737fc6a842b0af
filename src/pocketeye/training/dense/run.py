"""Train a detector or segmenter from what a user names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from pocketeye.data.detection.samples import load_detection
from pocketeye.data.semantic.samples import load_semantic
from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, create_model, load_backbone, load_checkpoint
from pocketeye.models.dense.described import DenseNetwork
from pocketeye.models.reference import ArchitectureFile, Run, expect
from pocketeye.models.task import CLASSIFY
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import ARCHITECTURE, BEST
from pocketeye.training.dense.config import DenseConfig
from pocketeye.training.dense.fit import DenseSet


@dataclass(frozen=True, kw_only=True)
class _Backbone:
    """What the user named: its registered name or architecture, how it sees, and its weights."""

    name: str
    architecture: dict[str, Any] | None
    statistics: dict[str, tuple[float, ...]]
    weights: Path | None


def open_sets(config: DenseConfig, data: str, classes: str | None) -> tuple[DenseSet, DenseSet]:
    """The parts ``train`` and ``val`` of a set of the task's kind."""
    if config.task == "semantic":
        train, val = (load_semantic(data, split, classes=classes) for split in ("train", "val"))
        return train, val
    if classes is not None:
        raise InvalidValue("--classes says what the masks of --task semantic mean: leave it out")
    masks = config.task == "instance"
    first, second = (load_detection(data, split, masks=masks) for split in ("train", "val"))
    return first, second


def network_options(config: DenseConfig, pretrained: bool = False) -> dict[str, Any]:
    """What a recipe says of the network, for :meth:`DenseDescription.make`."""
    options: dict[str, Any] = {
        "pretrained": pretrained,
        "trainable_stages": config.trainable_stages,
    }
    if config.drop_path_rate:
        options["backbone_kwargs"] = {"drop_path_rate": config.drop_path_rate}
    if config.task == "semantic":
        return {**options, "head_norms": config.head_norms, "drop_rate": config.drop_rate}
    return {**options, "min_size": config.min_sizes}


def _backbone(name: str) -> _Backbone:
    """The backbone that a user named: a registered one, an architecture, or that of a classifier's run.

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
    with torch.device("meta"):
        model = create_model(name)
    return _Backbone(name=name, architecture=None, statistics=_statistics(model), weights=None)


def _of_run(run: Run) -> _Backbone:
    """A classifier's run: its network, how it saw images, its best weights."""
    info = ModelInfo.load(run.folder)
    architecture = None
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
    weights = start_from or named.weights
    if weights is not None:
        path = weights / BEST if weights.is_dir() else weights
        load_backbone(network, path)
        return f"the backbone's weights are those of {weights}"
    if pretrained:
        return f"the backbone's weights are the published ones of {named.name}"
    return "all weights are new: a trained backbone makes this faster and better (--start-from)"


def sizes_of(task: str, input_size: int | None) -> dict[str, Any]:
    """What ``--input-size`` means: the shorter side, in training and use; a segmenter's crops stay."""
    if input_size is None:
        return {}
    sizes: dict[str, Any] = {"min_size": input_size, "min_sizes": (input_size,)}
    return sizes if task == "semantic" else {**sizes, "max_size": round(input_size * 1333 / 800)}
