"""A recipe as data: everything that a training run depends on, besides network and images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pocketeye.data.transforms.transforms import TransformRecipe
from pocketeye.errors import InvalidValue, require_one_of, require_range
from pocketeye.training.engine.convert import dataclass_of, plain
from pocketeye.training.engine.recipe import (
    _MACHINE,
    TrainPrecision,
    read_recipe,
    require_optimizer,
)

Schedule = Literal["cosine", "step"]
Distill = Literal["none", "soft", "hard"]
_SMALLEST_SCALE = 32


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TransformRecipe):
    """How a classifier is trained; the keys of a recipe file are these fields.

    Attributes:
        epochs: passes over the data.
        batch_size: images per step and process.
        accumulate: batches whose gradients make one step of the optimiser; schedule and moving
            average count such steps. An epoch's last step may be of fewer.
        multi_scale: pairs of input size and batch size, one of which every batch has (MobileViT's
            sampler, arXiv 2110.02178); validation stays at ``input_size``.
        lr: peak learning rate.
        optimizer: name known to timm (``sgd`` is with Nesterov momentum, ``momentum`` without).
        weight_decay: of everything but biases and one-dimensional parameters.
        schedule: ``cosine`` to ``min_lr``, or ``step``: times ``gamma`` at each of ``milestones``
            (epochs).
        min_lr: what the cosine ends at.
        warmup_epochs: linear rise to ``lr``, of at most half of the training; fractions are fine.
        warmup_lr: what it rises from; None: a hundredth of ``lr``.
        label_smoothing: share given to all classes, 0 to below 1.
        mixup: alpha of mixup, 0 for none; likewise ``cutmix``.
        mixup_prob: probability that a batch is mixed at all.
        mixup_switch_prob: probability of cutmix where there are both.
        ema_decay: decay of the moving average of the weights per step of the optimiser, 0 for none;
            where there is one it is what gets validated and saved.
        ema_warmup: let the decay rise to ``ema_decay``, instead of having it from the first step.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last block; given to the network when it is made.
        clip_grad: largest norm of the gradient, 0 for no limit.
        teacher: a network to learn from, see :func:`pocketeye.training.classify.distill.open_teacher`.
        teacher_checkpoint: file of its weights.
        teacher_size: side in pixels of the images it sees; None: the student's, or the only one it
            takes. Small images are worth enlarging: EfficientNet-Lite2 knows 46 % of tiny-imagenet-24
            at 64 pixels, 82 % at 128.
        distill: ``soft`` or ``hard`` (DeiT, arXiv 2012.12877, eq. 2 and 3).
        distill_alpha: share of the teacher in the loss, 0 to 1.
        distill_tau: temperature of ``soft``.
        distill_head: give the network a second head for the teacher (CAS-ViT: ``distilled``).
        input_size: side of the square input; by default the network's or the images'.
        channels_last: NHWC memory, about twice as fast for these networks on a CPU (measured).
        precision: ``fp32``, or mixed ``bf16``, or mixed ``fp16`` (with a scaler; CUDA only).
        sync_bn: BN statistics over all processes (CUDA only).
        num_processes: data-parallel processes; part of the result, as the batch grows with them.
        workers: processes that prepare images; 0: in the training process.
        threads: torch's threads, None: as they are.
    """

    epochs: int = 30
    batch_size: int = 64
    accumulate: int = 1
    multi_scale: tuple[tuple[int, int], ...] = ()
    lr: float = 0.1
    optimizer: str = "sgd"
    weight_decay: float = 5e-5
    momentum: float = 0.9
    schedule: Schedule = "cosine"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    min_lr: float = 0.0
    warmup_epochs: float = 1.0
    warmup_lr: float | None = None
    label_smoothing: float = 0.1
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_prob: float = 1.0
    mixup_switch_prob: float = 0.5
    ema_decay: float = 0.0
    ema_warmup: bool = True
    drop_rate: float = 0.0
    drop_path_rate: float = 0.0
    clip_grad: float = 0.0
    teacher: str | None = None
    teacher_checkpoint: str | None = None
    teacher_size: int | None = None
    distill: Distill = "none"
    distill_alpha: float = 0.5
    distill_tau: float = 1.0
    distill_head: bool = False
    input_size: int | None = None
    channels_last: bool = True
    precision: TrainPrecision = "fp32"
    sync_bn: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    num_processes: int = 1
    seed: int = 0
    workers: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, low, high in (
            ("epochs", 1, 1e5), ("batch_size", 1, 1e6), ("accumulate", 1, 1e4), ("lr", 1e-9, 1e3),
            ("weight_decay", 0, 10), ("momentum", 0, 0.9999), ("gamma", 1e-6, 1),
            ("min_lr", 0, self.lr), ("warmup_epochs", 0, 1e5), ("label_smoothing", 0, 0.99),
            ("mixup", 0, 10), ("cutmix", 0, 10), ("mixup_prob", 0, 1), ("mixup_switch_prob", 0, 1),
            ("ema_decay", 0, 0.999999), ("drop_rate", 0, 0.99), ("drop_path_rate", 0, 0.99),
            ("clip_grad", 0, 1e6), ("distill_alpha", 0, 1), ("distill_tau", 0.01, 100),
            ("num_processes", 1, 1024), ("workers", 0, 256), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            require_range(name, getattr(self, name), low, high)
        for name, allowed in (
            ("schedule", get_args(Schedule)), ("precision", get_args(TrainPrecision)),
            ("distill", get_args(Distill)),
        ):  # fmt: skip
            require_one_of(name, getattr(self, name), allowed)
        if self.warmup_lr is not None:
            require_range("warmup_lr", self.warmup_lr, 0, self.lr)
        self._require_schedule()
        self._require_distillation()
        _require_scales(self.multi_scale)
        batches = [batch for _, batch in self.multi_scale] or [self.batch_size]
        odd = next((batch for batch in batches if batch % 2), None)
        if (self.mixup or self.cutmix) and odd:
            raise InvalidValue(f"mixup and cutmix need an even batch size, got {odd}")
        require_optimizer(self.optimizer)

    def _require_schedule(self) -> None:
        if self.schedule == "step" and not self.milestones:
            raise InvalidValue("schedule 'step' needs milestones, for example [90, 180, 270]")
        if self.schedule == "step" and self.min_lr:
            raise InvalidValue(
                f"min_lr is what schedule 'cosine' ends at: leave it out with 'step', got {self.min_lr}"
            )

    def _require_distillation(self) -> None:
        if self.teacher is None:
            for name in ("teacher_checkpoint", "teacher_size", "distill_head"):
                if getattr(self, name):
                    raise InvalidValue(f"{name} is given without a teacher: name one")
            if self.distill != "none":
                raise InvalidValue(f"distill {self.distill!r} needs a teacher: name one")
        elif self.distill == "none":
            raise InvalidValue(
                f"teacher {self.teacher!r} is named, but distill is 'none': choose soft or hard"
            )
        if self.teacher_size is not None:
            require_range("teacher_size", self.teacher_size, _SMALLEST_SCALE, 4096)

    def to_dict(self) -> dict[str, Any]:
        """Plain values of what decides the result (not device, workers and threads)."""
        return {key: plain(value) for key, value in asdict(self).items() if key not in _MACHINE}


def _require_scales(pairs: tuple[tuple[int, int], ...]) -> None:
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(value, int) for value in pair):
            raise InvalidValue(
                f"multi_scale must be pairs of whole numbers (input size, batch size), got {pair!r}"
            )
        if pair[0] < _SMALLEST_SCALE or pair[1] < 1:
            raise InvalidValue(
                f"multi_scale needs sizes of {_SMALLEST_SCALE} pixels and batches of 1 or more, got "
                f"{list(pair)}"
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
    data = read_recipe(name_or_path)
    data.pop("task", None)
    given = {key: value for key, value in overrides.items() if value is not None}
    return config_from_dict({**data, **given}, str(name_or_path))


def config_from_dict(data: Mapping[str, Any], source: str = "recipe") -> TrainConfig:
    """A config from plain values, checked and converted (YAML reads ``4e-5`` as text).

    Raises:
        InvalidValue, InvalidType: see :func:`load_recipe`.
    """
    return dataclass_of(TrainConfig, data, source)
