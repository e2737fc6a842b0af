"""``pocketeye train --task segment-anything`` and ``--task track``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pocketeye.errors import InvalidValue
from pocketeye.models.tam import create_tam
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.runs import BEST, CURVES, REPORT
from pocketeye.text import human_seconds, problem_lines
from pocketeye.training.engine.loop import check_device, open_run
from pocketeye.training.tam.config import TamConfig
from pocketeye.training.tam.figures import STRIP
from pocketeye.training.tam.fit import TrackerFitResult, fit_tracker, require_square
from pocketeye.training.tam.init import look_near_first
from pocketeye.training.tam.run import _open_teacher
from pocketeye.training.tam.sources import open_sets, training_clips, validation_clips
from pocketeye.training.tam.start import begin_with, measure_maps
from pocketeye.verbs._result import VerbResult


@dataclass(frozen=True, kw_only=True)
class TrackerTrainResult(VerbResult):
    """A finished training of a tracker; ``fitted.iou`` is 0 to 1, of the best epoch, on validation.

    Attributes:
        started: what the weights began with, in words; empty for random ones.
        sets: what the data were, a line for each.
    """

    name: str
    task: str
    data: str
    out: Path
    fitted: TrackerFitResult
    image_size: int
    params: int
    started: str
    sets: tuple[str, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "task": self.task,
            "data": self.data,
            "out": self.out,
            "weights": self.out / BEST,
            "iou": self.fitted.iou,
            "best_epoch": self.fitted.best_epoch,
            "epochs": self.fitted.epochs,
            "seconds": self.fitted.seconds,
            "image_size": self.image_size,
            "params": self.params,
            "started": self.started,
            "sets": list(self.sets),
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        from rich.markup import escape

        fitted = self.fitted
        prompt = "the first frame's mask" if self.task == "track" else "one click"
        lines = [escape(line) for line in (*self.sets, self.started) if line]
        lines.append(
            f"IoU [bold]{100 * fitted.iou:.1f} %[/bold] from {prompt}, on validation, in epoch "
            f"{fitted.best_epoch} of {fitted.epochs} · {self.name} · {self.image_size} px · "
            f"{human_seconds(fitted.seconds)}"
        )
        return lines + problem_lines(self.problems)

    def written(self) -> list[Path]:
        return [self.out / name for name in (REPORT, BEST, CURVES, STRIP)]

    def next_commands(self) -> list[str]:
        run = shlex.quote(str(self.out))
        if self.task == "track":
            return [f"pocketeye track VIDEO --point X,Y --model {run}"]
        return [
            f"pocketeye segment IMAGE --point X,Y --model {run}",
            f"pocketeye train {self.name} --task track --data DAVIS_ROOT --checkpoint {run}",
        ]


def train_tracker(
    model: str,
    config: TamConfig,
    *,
    data: str,
    out: Path | None,
    resume: bool,
    overwrite: bool,
    trunk: str | None,
    checkpoint: Path | None,
    start_from: Path | None,
    teacher: str | None,
    teacher_checkpoint: Path | None,
) -> TrackerTrainResult:
    """See :func:`pocketeye.verbs.train.verb.train`."""
    check_device(config.device, precision=config.precision, num_processes=config.num_processes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = create_tam(model, config.image_size, trunk=trunk)
    size = require_square(network)
    if checkpoint is None:
        look_near_first(network)
    started = begin_with(network, checkpoint=checkpoint, start_from=start_from)
    if config.frozen_stride and not started and not resume:
        raise InvalidValue(
            f"frozen_stride {config.frozen_stride} keeps layers that nothing has trained: "
            "give --start-from (tf_efficientnet_lite0, say) or --checkpoint, or a recipe without it"
        )
    taught = _open_teacher(teacher, teacher_checkpoint)
    sets = open_sets([path for path in data.split(",") if path])
    train, val = training_clips(sets, config, size), validation_clips(sets, config, size)
    if checkpoint is None and not resume:
        measure_maps(network, train)
    folder = out or Path("out") / "train" / f"{model}-{config.task}"
    asked = {
        "model": model,
        "data": data,
        "trunk": trunk,
        "checkpoint": str(checkpoint) if checkpoint else None,
        "start_from": str(start_from) if start_from else None,
        "teacher": teacher,
        "teacher_sha256": taught.sha256 if taught else None,
    }
    run = open_run(folder, {**asked, **config.to_dict()}, resume=resume, overwrite=overwrite)
    description = TrackerDescription(
        variant=model, image_size=network.image_size, trunk=trunk, data=data
    )
    fitted = fit_tracker(
        network, train, val, config, run, resume, description=description, teacher=taught
    )
    return TrackerTrainResult(
        name=model,
        task=config.task,
        data=data,
        out=folder,
        fitted=fitted,
        image_size=size,
        params=sum(p.numel() for p in network.parameters()),
        started=started,
        sets=tuple(sets.lines()),
        problems=tuple(sets.problems),
    )
