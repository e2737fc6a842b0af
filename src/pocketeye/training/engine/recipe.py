"""Define a recipe: everything that a training depends on besides the network and the data.

:class:`Recipe` holds what every task shares; each task extends it with what is only its own. The
keys of a recipe file are the fields of that class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

import yaml

from pocketeye.devices import Device
from pocketeye.errors import InvalidValue, unknown
from pocketeye.models.task import CLASSIFY, Task, task_named
from pocketeye.reading import Count, Range, parse_yaml, read_yaml, require_file
from pocketeye.runs import write_atomic
from pocketeye.training.engine.convert import dataclass_of, plain
from pocketeye.training.engine.ranges import Rate, Share, require_ranges

TrainPrecision = Literal["fp32", "bf16", "fp16"]
# What changes where and how fast a training runs, but not its result.
_MACHINE = ("device", "workers", "threads", "tensorboard")
_DEFAULT_TASK = CLASSIFY.name
_SUFFIX = ".yaml"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Hold everything that a training of any task depends on, besides the network and the data.

    Attributes:
        task: what is learnt; a recipe file without this key is a classifier's.
        input_size: side of the input in pixels; None takes the network's own.
        epochs: validation and a checkpoint follow each.
        batch_size: samples per batch and process.
        accumulate: batches whose gradients make one step of the optimiser; schedule and moving
            average count such steps. The last step of an epoch may be of fewer.
        lr: peak learning rate.
        optimizer: name known to timm (``sgd`` is with Nesterov momentum, ``momentum`` without).
        momentum: of SGD and its like.
        betas: of Adam and its like; None takes the optimiser's own.
        weight_decay: of the weights; each task says of which.
        clip_grad: largest norm of the gradient, 0 for no limit.
        ema_decay: decay per step of the moving average of the weights, 0 for none; where there is
            one, it is what gets validated and saved.
        ema_warmup: let the decay rise to ``ema_decay``, instead of having it from the first step.
        schedule: how the rate falls after the warm-up.
        min_lr: where a falling schedule ends.
        warmup_epochs: length of the linear rise to ``lr`` in epochs, at most half of the training.
        warmup_steps: the same in steps of the optimiser; give one of the two.
        warmup_ratio: share of the rate that the rise begins with.
        channels_last: NHWC memory, faster on a CPU (docs/training.md has the measurements).
        precision: ``fp32``, or mixed ``bf16``, or mixed ``fp16`` (with a gradient scaler; CUDA only).
        num_processes: data-parallel processes; part of the result, as the batch grows with them.
        seed: of the weights, the order and the augmentation.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        workers: processes that prepare samples; 0 prepares them in the training process.
        threads: torch's threads; None leaves them as they are.
        tensorboard: write the numbers of every epoch for TensorBoard too.
    """

    task: str = _DEFAULT_TASK
    # Data.
    input_size: Annotated[int, Range(1, 1e5)] | None = None
    # Optimiser.
    epochs: Count = 30
    batch_size: Count = 64
    accumulate: Annotated[int, Range(1, 1e4)] = 1
    lr: Rate = 1e-3
    optimizer: str = "adamw"
    momentum: Annotated[float, Range(0, 0.9999)] = 0.9
    betas: (
        tuple[Annotated[float, Range(0, 0.99999)], Annotated[float, Range(0, 0.99999)]] | None
    ) = None
    weight_decay: Annotated[float, Range(0, 10)] = 0.05
    clip_grad: Annotated[float, Range(0, 1e6)] = 0.0
    ema_decay: Annotated[float, Range(0, 0.999999)] = 0.0
    ema_warmup: bool = True
    # Schedule.
    schedule: str = "cosine"
    min_lr: Annotated[float, Range(0, 1e3)] = 0.0
    warmup_epochs: Annotated[float, Range(0, 1e5)] = 0.0
    warmup_steps: Annotated[int, Range(0, 1e7)] = 0
    warmup_ratio: Share = 0.01
    # Machine.
    channels_last: bool = True
    precision: TrainPrecision = "fp32"
    num_processes: Annotated[int, Range(1, 1024)] = 1
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    device: Device = "auto"
    workers: Annotated[int, Range(0, 256)] = 0
    threads: Annotated[int, Range(1, 1024)] | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require_ranges(self)
        if self.min_lr > self.lr:
            raise InvalidValue(f"min_lr must be from 0 to lr ({self.lr:g}), got {self.min_lr!r}")
        if self.warmup_epochs and self.warmup_steps:
            raise InvalidValue(
                f"warmup_epochs ({self.warmup_epochs:g}) and warmup_steps ({self.warmup_steps}) say "
                "the same thing in two units: set one of them to 0"
            )
        _require_optimizer(self.optimizer)

    @property
    def record(self) -> Task:
        """Return what everyone knows of the task."""
        return task_named(self.task)

    @classmethod
    def tasks(cls) -> tuple[str, ...]:
        """Return tasks that such a recipe can be for."""
        # Of the field's Literal: the class itself says for what it is.
        return get_args(get_type_hints(cls)["task"])

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], source: str = "recipe") -> Self:
        """Make a recipe of plain values, checked and converted (YAML reads ``4e-5`` as text).

        Raises:
            InvalidValue: an unknown key (with the nearest spelling), or a value out of range.
            InvalidType: a value of the wrong kind.
        """
        return dataclass_of(cls, data, source)

    @classmethod
    def load(cls, name_or_path: str | Path, task: str | None = None, **overrides: Any) -> Self:
        """Read a recipe that comes along, or a YAML file of the same keys.

        Args:
            name_or_path: a name of :func:`list_recipes`, or a path that ends in ``.yaml``.
            task: that the recipe must be for; None allows every task of the class.
            overrides: values that win over the file's; None leaves the file's.

        Raises:
            InvalidValue, InvalidType: as :meth:`from_dict`; an unknown recipe, one of another task.
            MissingFile: no such file.
        """
        data = _read(name_or_path, (task,) if task else cls.tasks())
        # None means: as the file has it.
        given = {key: value for key, value in overrides.items() if value is not None}
        return cls.from_dict({**data, **given}, str(name_or_path))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values of what decides the result (not device, workers and threads)."""
        return {key: plain(value) for key, value in asdict(self).items() if key not in _MACHINE}

    def save(self, path: Path) -> Path:
        """Write the recipe as a YAML file that :meth:`load` takes."""
        return write_atomic(path, yaml.safe_dump(self.to_dict(), sort_keys=False))


@dataclass(frozen=True, kw_only=True)
class SteppedRecipe(Recipe):
    """Hold a recipe whose schedule may be ``step``.

    Attributes:
        milestones: epochs at each of which the rate is multiplied with ``gamma``.
        gamma: see ``milestones``.
    """

    milestones: tuple[Annotated[int, Range(0, 1e6)], ...] = ()
    gamma: Share = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.schedule == "step" and not self.milestones:
            raise InvalidValue("schedule 'step' needs milestones, for example [90, 180, 270]")


def list_recipes(task: str = _DEFAULT_TASK) -> list[str]:
    """Return the names of a task's recipes that come along, from the folder of its name."""
    folder = resources.files("pocketeye") / "recipes" / task
    names = (path.name for path in folder.iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX))


def _bundled(name: str) -> str | None:
    """Return the text of a recipe that comes along, of any task; None where none has that name."""
    for folder in (resources.files("pocketeye") / "recipes").iterdir():
        if folder.is_dir() and name in list_recipes(folder.name):
            return (folder / f"{name}{_SUFFIX}").read_text("utf-8")
    return None


def _read(name_or_path: str | Path, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Return the keys and values of a recipe for one of ``tasks``."""
    text = str(name_or_path)
    path = Path(text)
    # A path by its suffix: a file named as a bundled recipe is still a file.
    if path.suffix in (".yaml", ".yml"):
        require_file(path, f"no recipe at {path}")
        data = read_yaml(path)
    elif (bundled := _bundled(text)) is not None:
        data = parse_yaml(bundled)
    else:
        raise unknown("recipe", text, [name for task in tasks for name in list_recipes(task)])
    if not isinstance(data, Mapping):
        raise InvalidValue(f"{text} is no recipe: expected lines of the form key: value")
    task = data.get("task", _DEFAULT_TASK)
    if task not in tasks:
        raise InvalidValue(
            f"{text} is a recipe of pocketeye train {task}, not of {' or '.join(tasks)}, which has "
            f"{', '.join(name for each in tasks for name in list_recipes(each))}"
        )
    return {str(key): value for key, value in data.items()}


def _require_optimizer(name: str) -> None:
    """Raise InvalidValue unless timm knows the optimiser."""
    from timm.optim import list_optimizers

    names = [str(known) for known in list_optimizers()]
    if name not in names:
        raise unknown("optimizer", name, names)
