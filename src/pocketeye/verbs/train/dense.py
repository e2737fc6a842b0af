"""``pocketeye train --task detect``, ``--task instance`` and ``--task semantic``."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from pocketeye.data.detection.samples import load_detection
from pocketeye.data.semantic.samples import load_semantic
from pocketeye.devices import resolve_device
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models import Architecture, create_model, load_backbone, load_checkpoint
from pocketeye.models.bundled import located
from pocketeye.models.dense.described import DenseDescription, DenseNetwork, is_dense
from pocketeye.predicting.info import FILE, ModelInfo
from pocketeye.runs import ARCHITECTURE, BEST, CURVES, REPORT, WEIGHTS
from pocketeye.training.dense.config import DenseConfig
from pocketeye.training.dense.figures import STRIP
from pocketeye.training.dense.fit import DenseFitResult, DenseSet, fit_dense
from pocketeye.training.engine.loop import check_device, open_run
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs._text import human_seconds, problem_lines


@dataclass(frozen=True, kw_only=True)
class DenseTrainResult(VerbResult):
    """A finished training of a detector or segmenter.

    Attributes:
        started: what the weights began with, in words.
    """

    description: DenseDescription
    out: Path
    fitted: DenseFitResult
    num_train: int
    num_val: int
    params: int
    started: str
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "task": self.description.task,
            "network": self.description.network,
            "backbone": self.description.backbone,
            "data": self.description.data,
            "out": self.out,
            "weights": self.out / BEST,
            "metric": self.fitted.metric,
            "value": self.fitted.value,
            "best_epoch": self.fitted.best_epoch,
            "epochs": self.fitted.epochs,
            "seconds": self.fitted.seconds,
            "num_train": self.num_train,
            "num_val": self.num_val,
            "params": self.params,
            "started": self.started,
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        fitted, described = self.fitted, self.description
        lines = [
            self.started,
            f"{fitted.metric} [bold]{100 * fitted.value:.1f} %[/bold] on {self.num_val} pictures, in "
            f"epoch {fitted.best_epoch} of {fitted.epochs} · {described.network} with "
            f"{described.backbone} · {human_seconds(fitted.seconds)}",
        ]
        return lines + problem_lines(self.problems)

    def written(self) -> list[Path]:
        return [self.out / name for name in (REPORT, BEST, CURVES, STRIP)]

    def next_commands(self) -> list[str]:
        run, data = shlex.quote(str(self.out)), shlex.quote(self.description.data)
        return [
            f"pocketeye eval {run} --task {self.description.task} --data {data}",
            f"pocketeye predict {run} PICTURE",
            f"pocketeye export {run} --data {data}",
        ]


@dataclass(frozen=True, kw_only=True)
class _Backbone:
    """What the user named: its registered name or architecture, how it sees, and its weights."""

    name: str
    architecture: dict[str, Any] | None
    statistics: dict[str, tuple[float, ...]]
    weights: Path | None


def train_dense(
    backbone: str,
    config: DenseConfig,
    *,
    data: str,
    classes: str | None,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    pretrained: bool,
    checkpoint: Path | None,
    start_from: Path | None,
) -> DenseTrainResult:
    """See :func:`pocketeye.verbs.train.verb.train`."""
    check_device(config.device, precision=config.precision, num_processes=config.num_processes)
    if config.needs_sync and resolve_device(config.device).type != "cuda":
        raise InvalidValue(
            "this recipe takes the statistics of BN over all processes (norms or head_norms: sync), "
            "which needs CUDA devices: use a copy of it that says live"
        )
    named = _backbone(located(backbone))
    train, val = open_sets(config, data, classes)
    description = DenseDescription(
        task=config.task, backbone=named.name, architecture=named.architecture,
        classes=train.classes, category_ids=getattr(train, "category_ids", ()),
        min_size=config.min_size, max_size=config.max_size, fpn_channels=config.fpn_channels,
        head_channels=config.head_channels, norms=config.norms, data=data, **named.statistics,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = description.make(**network_options(config, pretrained))
    started = _begin(network, named, pretrained, checkpoint, start_from)
    folder = (
        out or Path("out") / "train" / f"{description.network}-{named.name}-on-{Path(data).stem}"
    )
    asked = {
        "backbone": backbone,
        "data": data,
        "classes": classes,
        "pretrained": pretrained,
        "checkpoint": str(checkpoint) if checkpoint else None,
        "start_from": str(start_from) if start_from else None,
    }
    run = open_run(folder, {**asked, **config.to_dict()}, resume=resume, overwrite=overwrite)
    fitted = fit_dense(network, train, val, config, run, resume, description=description)
    return DenseTrainResult(
        description=description,
        out=folder,
        fitted=fitted,
        num_train=len(train),
        num_val=len(val),
        params=sum(p.numel() for p in network.parameters()),
        started=started,
        problems=(*train.problems, *val.problems),
    )


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
    path = Path(name)
    if path.is_dir():
        return _of_run(path)
    if path.suffix == ".json":
        if not path.is_file():
            raise MissingFile(f"no architecture at {path}")
        architecture = Architecture.load(path)
        return _Backbone(name=architecture.name, architecture=json.loads(architecture.to_json()),
                         statistics={}, weights=None)  # fmt: skip
    with torch.device("meta"):
        model = create_model(name)  # an unknown name is named here
    return _Backbone(name=name, architecture=None, statistics=_statistics(model), weights=None)


def _of_run(folder: Path) -> _Backbone:
    """A classifier's run: its network, how it saw pictures, its best weights."""
    if is_dense(folder):
        raise InvalidValue(
            f"{folder} is a run of a detector or segmenter, not of a classifier: give it with "
            "--checkpoint to go on from its weights"
        )
    if not (folder / FILE).is_file() and (folder / ARCHITECTURE).is_file():
        return _backbone(str(folder / ARCHITECTURE))  # a search's
    info = ModelInfo.load(folder)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise MissingFile(
            f"{folder} has no weights yet ({WEIGHTS} is missing): finish its training"
        )
    architecture = None
    if not timm.is_model(info.name.partition(".")[0]):
        architecture = json.loads(Architecture.load(folder / ARCHITECTURE).to_json())
    return _Backbone(
        name=info.name, architecture=architecture, weights=weights,
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
        path = checkpoint / WEIGHTS if checkpoint.is_dir() else checkpoint
        load_checkpoint(network, path)
        return f"all weights are those of {checkpoint}"
    weights = start_from or named.weights
    if weights is not None:
        path = weights / WEIGHTS if weights.is_dir() else weights
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
