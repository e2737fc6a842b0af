"""``pocketeye train --task detect``, ``--task instance`` and ``--task semantic``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pocketeye.devices import resolve_device
from pocketeye.errors import InvalidValue
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.task import task_named
from pocketeye.runs import BEST, CURVES, REPORT
from pocketeye.text import human_seconds, problem_lines
from pocketeye.training.dense.config import DenseConfig
from pocketeye.training.dense.figures import STRIP
from pocketeye.training.dense.fit import DenseFitResult, fit_dense
from pocketeye.training.dense.run import _backbone, _begin, network_options, open_sets
from pocketeye.training.engine.loop import check_device, open_run
from pocketeye.verbs._result import VerbResult


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
            "task": self.description.task.name,
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
            f"{fitted.metric} [bold]{100 * fitted.value:.1f} %[/bold] on {self.num_val} images, in "
            f"epoch {fitted.best_epoch} of {fitted.epochs} · {described.network} with "
            f"{described.backbone} · {human_seconds(fitted.seconds)}",
        ]
        return lines + problem_lines(self.problems)

    def written(self) -> list[Path]:
        return [self.out / name for name in (REPORT, BEST, CURVES, STRIP)]

    def next_commands(self) -> list[str]:
        run, data = shlex.quote(str(self.out)), shlex.quote(self.description.data)
        return [
            f"pocketeye eval {run} --data {data}",
            f"pocketeye predict {run} IMAGE",
            f"pocketeye export {run} --data {data}",
        ]


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
    named = _backbone(backbone)
    train, val = open_sets(config, data, classes)
    description = DenseDescription(
        task=task_named(config.task), backbone=named.name, architecture=named.architecture,
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
