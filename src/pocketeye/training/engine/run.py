"""Lead from what a user names to a run folder: options of every training, and what it gives back."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from torch import nn

from pocketeye.devices import Device, is_first_process
from pocketeye.runs import CHECKPOINT, RunFolder
from pocketeye.training.engine.recipe import Recipe, TrainPrecision
from pocketeye.training.engine.reporting.result import FitResult
from pocketeye.training.engine.reporting.tensorboard import require_tensorboard


class RunOptions(TypedDict, total=False):
    """Hold the options of every training; a recipe says what those that are left out are.

    Args:
        out: folder of the run; by default one below out/train, named for network and data.
        resume: go on with an interrupted run; begin it where there is none.
        overwrite: start again in a folder that holds a run.
        epochs: how many; each ends with validation and a checkpoint.
        batch_size: samples per step and process.
        lr: peak learning rate.
        seed: of the weights, the order and the augmentation.
        device: auto takes CUDA, then MPS, then the CPU.
        precision: bf16 and fp16 are mixed precision (bf16 is slower than fp32 on CPUs without matrix
            units, fp16 needs CUDA).
        num_processes: data-parallel processes on this machine.
        workers: processes that prepare samples.
        threads: threads of torch.
        tensorboard: write the numbers of every epoch for TensorBoard too, into OUT/tensorboard.
    """

    out: Path
    resume: bool
    overwrite: bool
    epochs: int
    batch_size: int
    lr: float
    seed: int
    device: Device
    precision: TrainPrecision
    num_processes: int
    workers: int
    threads: int
    tensorboard: bool


def add_args_of(base: type, options: type) -> None:
    """Append the Args of one class of options to the docstring of another that extends it.

    Helps for the command line are read from the docstring of a TypedDict itself, not of its bases.
    """
    own, shared = (inspect.cleandoc(kind.__doc__ or "") for kind in (options, base))
    options.__doc__ = f"{own}\n{shared.partition('Args:')[2].lstrip(chr(10))}"


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """Hold a finished training.

    Attributes:
        task: name of the task.
        network: name of what was trained.
        data: as the user named them.
        out: the run folder.
        fitted: what it came to.
        validation: what ``fitted.value`` was measured on, in words: ``360 images``.
        interval: 95 % interval of ``fitted.value`` where it is a share of independent images.
        input_size: side of the input in pixels; of detectors and segmenters the shorter side.
        num_train, num_val: samples; None where a recipe draws as many as it likes.
        params: number of parameters.
        started: what the weights began with, in words; empty for random ones.
        sets: what the data were, a line for each; empty where ``data`` says it all.
        problems: what was left out of the data.
        epochs_before: how many epochs the run was begun with, where more were added since.
        commands: (what for, command) that make sense now.
    """

    task: str
    network: str
    data: str
    out: Path
    fitted: FitResult
    validation: str
    interval: tuple[float, float] | None = None
    input_size: int
    num_train: int | None = None
    num_val: int | None = None
    params: int
    started: str = ""
    sets: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    epochs_before: tuple[int, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Say where a run goes, and whether one may be there."""

    out: Path | None
    resume: bool
    overwrite: bool

    def folder(self, name: str) -> RunFolder:
        """Return the run folder as it is, by default ``out/train/NAME``; nothing is made."""
        return RunFolder(Path("out") / "train" / name if self.out is None else self.out)

    def goes_on(self, name: str) -> bool:
        """Tell whether there is something to go on from, and that is asked for."""
        return self.resume and (self.folder(name) / CHECKPOINT).is_file()

    @contextmanager
    def held(self, name: str, asked: Mapping[str, Any], recipe: Recipe) -> Iterator[RunFolder]:
        """Open the run folder for this training alone, once all that is asked for fits together.

        Args:
            asked: what decides the run besides its recipe; it must be the same to go on.

        Raises:
            InvalidValue: a run is there and may not be, it was begun otherwise, or another process
                trains in it.
        """
        folder = self.folder(name).path
        config = {**asked, **recipe.to_dict()}
        # The first process alone writes; the others only need to know the folder.
        if not is_first_process():
            yield RunFolder(folder)
            return
        with RunFolder.held(folder, config, resume=self.resume, overwrite=self.overwrite) as run:
            yield run


def split_options(options: Mapping[str, Any]) -> tuple[Place, dict[str, Any]]:
    """Return where the run goes, and what else was given: fields of the recipe, mostly.

    Raises:
        MissingExtra: TensorBoard is asked for and not installed.
    """
    changes: dict[str, Any] = dict(options)
    if changes.get("tensorboard"):
        # Before anything is made, not at the first epoch.
        require_tensorboard()
    out = changes.pop("out", None)
    place = Place(
        out=None if out is None else Path(out),
        resume=changes.pop("resume", False),
        overwrite=changes.pop("overwrite", False),
    )
    return place, changes


def num_params(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def as_text(path: Path | str | None) -> str | None:
    """Return a path as ``config.yaml`` holds it."""
    return None if path is None else str(path)
