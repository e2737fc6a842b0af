"""A recipe as data: everything that a training run depends on, besides network and pictures."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from pocketeye.errors import InvalidType, InvalidValue, MissingFile, nearest, unknown
from pocketeye.training.transforms import TransformRecipe, require_range

Schedule = Literal["cosine", "step"]
_MACHINE = ("device", "workers", "threads")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TransformRecipe):
    """How a classifier is trained; the keys of a recipe file are these fields.

    Attributes:
        epochs: passes over the data.
        batch_size: pictures per step and process.
        lr: peak learning rate.
        optimizer: name known to timm (``sgd`` is with Nesterov momentum, ``momentum`` without).
        schedule: ``cosine`` to zero, or ``step``: times ``gamma`` at each of ``milestones`` (epochs).
        warmup_epochs: linear rise from a hundredth of ``lr``; fractions are fine.
        label_smoothing: share given to all classes, 0 to below 1.
        mixup: alpha of mixup, 0 for none; likewise ``cutmix``.
        ema_decay: decay of the moving average of the weights, 0 for none; where there is one it is
            what gets validated and saved.
        drop_rate: dropout before the classifier.
        clip_grad: largest norm of the gradient, 0 for no limit.
        input_size: side of the square input; by default the network's or the pictures'.
        channels_last: NHWC memory, about twice as fast for these networks on a CPU (measured).
        precision: ``fp32`` or ``bf16`` mixed.
        num_processes: data-parallel processes; part of the result, as the batch grows with them.
        workers: processes that prepare pictures; 0: in the training process.
        threads: torch's threads, None: as they are.
    """

    epochs: int = 30
    batch_size: int = 64
    lr: float = 0.1
    optimizer: str = "sgd"
    weight_decay: float = 5e-5
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    ema_decay: float = 0.0
    drop_rate: float = 0.0
    clip_grad: float = 0.0
    input_size: int | None = None
    channels_last: bool = True
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    num_processes: int = 1
    seed: int = 0
    workers: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("epochs", 1, 1e5), ("batch_size", 1, 1e6), ("lr", 1e-9, 1e3), ("weight_decay", 0, 10),
            ("momentum", 0, 0.9999), ("gamma", 1e-6, 1), ("warmup_epochs", 0, 1e5),
            ("label_smoothing", 0, 0.99), ("mixup", 0, 10), ("cutmix", 0, 10),
            ("ema_decay", 0, 0.999999), ("drop_rate", 0, 0.99), ("clip_grad", 0, 1e6),
            ("num_processes", 1, 1024), ("workers", 0, 256), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            require_range(name, getattr(self, name), low, high)
        if self.schedule not in ("cosine", "step"):
            raise unknown("schedule", self.schedule, ("cosine", "step"))
        if self.precision not in ("fp32", "bf16"):
            raise unknown("precision", self.precision, ("fp32", "bf16"))
        if self.schedule == "step" and not self.milestones:
            raise InvalidValue("schedule 'step' needs milestones, for example [90, 180, 270]")
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise InvalidValue(f"mixup and cutmix need an even batch size, got {self.batch_size}")
        require_optimizer(self.optimizer)

    def to_dict(self) -> dict[str, Any]:
        """Plain values of what decides the result (not device, workers and threads)."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if key not in _MACHINE
        }


def require_optimizer(name: str) -> None:
    """Raise InvalidValue unless timm knows the optimiser."""
    from timm.optim import list_optimizers

    names = [str(known) for known in list_optimizers()]
    if name not in names:
        raise unknown("optimizer", name, names)


def list_recipes() -> list[str]:
    """Names of the recipes that come along."""
    folder = resources.files("pocketeye") / "recipes"
    return sorted(
        p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml")
    )


def load_recipe(name_or_path: str | Path, **overrides: Any) -> TrainConfig:
    """Read a recipe that comes along, or a YAML file of the same keys.

    Args:
        name_or_path: see :func:`list_recipes`.
        overrides: values that win over the file's; None leaves the file's.

    Raises:
        InvalidValue: unknown recipe or key (with the nearest spelling), or a value out of range.
        InvalidType: a value of the wrong kind.
        MissingFile: no such file.
    """
    text = str(name_or_path)
    path = Path(text)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise MissingFile(f"no recipe at {path}")
        source = path.read_text(encoding="utf-8")
    elif text in list_recipes():
        source = (resources.files("pocketeye") / "recipes" / f"{text}.yaml").read_text("utf-8")
    else:
        raise unknown("recipe", text, list_recipes())
    try:
        data = yaml.safe_load(source)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InvalidValue(f"{text} is not YAML: {reason}") from error
    if not isinstance(data, Mapping):
        raise InvalidValue(f"{text} is no recipe: expected lines of the form key: value")
    given = {key: value for key, value in overrides.items() if value is not None}
    return config_from_dict({**data, **given}, text)


def config_from_dict(data: Mapping[str, Any], source: str = "recipe") -> TrainConfig:
    """A config from plain values, checked and converted (YAML reads ``4e-5`` as text).

    Raises:
        InvalidValue, InvalidType: see :func:`load_recipe`.
    """
    names = [field.name for field in fields(TrainConfig)]
    for key in data:
        if key not in names:
            close = nearest(str(key), names)
            guess = (
                f"; did you mean {close!r}?" if close else f" (known: {', '.join(sorted(names))})"
            )
            raise InvalidValue(f"{source}: unknown key {key!r}{guess}")
    hints = get_type_hints(TrainConfig)
    return TrainConfig(**{k: _converted(v, hints[k], f"{source}: {k}") for k, v in data.items()})


def _converted(value: Any, hint: Any, what: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        if value is None:
            return None
        hint = next(h for h in get_args(hint) if h is not type(None))
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise InvalidType(f"{what} must be a list, got {value!r}")
        return tuple(_converted(v, get_args(hint)[0], what) for v in value)
    if get_origin(hint) is Literal:
        return value
    return _number_or_text(value, hint, what)


def _number_or_text(value: Any, kind: type, what: str) -> Any:
    named = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]
    wrong = InvalidType(f"{what} must be {named}, got {value!r}")
    if kind is bool or kind is str or isinstance(value, bool):
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise wrong
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise wrong from None
    if kind is int and number != int(number):
        raise wrong
    return kind(value) if kind is float else int(number)
