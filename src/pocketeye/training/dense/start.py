"""Find the backbone of a detector or segmenter, and the weights a training begins with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from pocketeye.models import Architecture, create_model, load_backbone, load_checkpoint
from pocketeye.models.dense.described import DenseNetwork
from pocketeye.models.reference import ArchitectureFile, Run, expect
from pocketeye.models.task import CLASSIFY
from pocketeye.predicting.info import ModelInfo
from pocketeye.runs import ARCHITECTURE, BEST


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """Hold what the user named: its registered name or architecture, how it sees, and its weights."""

    name: str
    architecture: dict[str, Any] | None
    statistics: dict[str, tuple[float, ...]]
    weights: Path | None


def find_backbone(name: str) -> Backbone:
    """Find the backbone that a user named: registered, an architecture, or of a classifier's run.

    Raises:
        InvalidValue: unknown, or a network of another kind. MissingFile: a run without weights.
    """
    named = expect(name, "a training as its backbone", (CLASSIFY,), artifacts=False)
    if isinstance(named, Run):
        return _of_run(named)
    if isinstance(named, ArchitectureFile):
        architecture = Architecture.load(named.path)
        return Backbone(name=architecture.name, architecture=json.loads(architecture.to_json()),
                         statistics={}, weights=None)  # fmt: skip
    # On meta: only what it says of itself is wanted, not its weights.
    with torch.device("meta"):
        model = create_model(name)
    return Backbone(name=name, architecture=None, statistics=_statistics(model), weights=None)


def _of_run(run: Run) -> Backbone:
    """Open a classifier's run: its network, how it saw images, its best weights."""
    info = ModelInfo.load(run.folder)
    architecture = None
    # A network that timm does not know is made of its architecture.
    if not timm.is_model(info.name.partition(".")[0]):
        architecture = json.loads(Architecture.load(run.folder / ARCHITECTURE).to_json())
    return Backbone(
        name=info.name, architecture=architecture, weights=run.weights,
        statistics={"mean": info.mean, "std": info.std},
    )  # fmt: skip


def _statistics(model: nn.Module) -> dict[str, tuple[float, ...]]:
    cfg: Any = getattr(model, "default_cfg", None) or {}
    return {key: tuple(cfg[key]) for key in ("mean", "std") if cfg.get(key) is not None}


def begin_with(
    network: DenseNetwork,
    named: Backbone,
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
