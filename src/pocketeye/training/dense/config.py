"""Recipes of the tasks ``detect``, ``instance`` and ``semantic``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pocketeye.errors import InvalidValue, require_one_of, require_range
from pocketeye.models.dense.backbone import NORM_MODES, NormMode
from pocketeye.models.dense.described import DENSE_TASKS, DenseTask
from pocketeye.training.engine.convert import dataclass_of, plain
from pocketeye.training.engine.recipe import TrainPrecision, read_recipe, require_optimizer

DenseSchedule = Literal["step", "cosine", "poly"]
HeadNorms = Literal["live", "sync"]
_MACHINE = ("device", "workers", "threads")


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """How a detector or segmenter is trained; the keys of a recipe file are these fields.

    Attributes:
        task: ``detect`` (RetinaNet), ``instance`` (Mask R-CNN) or ``semantic`` (Semantic FPN).
        epochs: each followed by validation and a checkpoint to go on from.
        steps_per_epoch: of the optimiser; None: one pass over the images.
        batch_size: images per step and process; ``accumulate`` batches' gradients make one step.
        lr: peak learning rate of everything but the backbone, whose own is ``backbone_lr`` (None: the
            same).
        optimizer: name known to timm; ``betas`` of AdamW and its like.
        weight_decay: of all parameters; without ``decay_norms`` not of biases and norms.
        schedule: ``step`` (times ``gamma`` after each epoch of ``milestones``), ``cosine``, or
            ``poly`` of ``power``; the last two to ``min_lr``.
        warmup_steps: linear rise from ``warmup_ratio`` of the rate.
        clip_grad: largest norm of the gradient, 0 for no limit.
        ema_decay: of the moving average of the weights, which then is what gets validated and saved;
            0 for none. ``ema_warmup`` lets the decay rise to it.
        norms: of the backbone, ``live``, ``sync``, ``eval`` or ``frozen``, see
            :class:`pocketeye.models.dense.backbone.DenseBackbone`.
        head_norms: of the head of ``semantic``, ``live`` or ``sync``.
        trainable_stages: of the backbone, counted from the deepest, 0 to 4.
        drop_path_rate: of the backbone.
        drop_rate: before the classifier of ``semantic``.
        fpn_channels: width of the pyramid (and of the detectors' heads); ``head_channels`` of the
            head of ``semantic``.
        min_sizes: shorter side in training, one of them by chance. ``semantic``: before ``scale``.
        min_size: the same in validation and use.
        max_size: of the longer side, which wins.
        crop: side of the square that ``semantic`` learns from; what is missing is ignored.
        scale: smallest and largest factor on ``min_sizes`` before the crop.
        cat_max_ratio: share of a crop that one class may fill before another is tried, ten times.
        flip: how often images are mirrored.
        brightness, contrast, saturation, hue: of the colour jitter; 0 for none.
        channels_last: NHWC memory, a tenth to a third faster on a CPU (measured).
        precision: ``fp32``, or mixed ``bf16``, or mixed ``fp16`` (CUDA only).
        num_processes: data-parallel processes.
        workers: processes that prepare images; 0: in the training process.
        threads: torch's threads, None: as they are.
    """

    task: DenseTask = "detect"
    epochs: int = 12
    steps_per_epoch: int | None = None
    batch_size: int = 4
    accumulate: int = 1
    lr: float = 2e-4
    backbone_lr: float | None = None
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-4
    decay_norms: bool = True
    schedule: DenseSchedule = "step"
    milestones: tuple[int, ...] = (8, 11)
    gamma: float = 0.1
    power: float = 0.9
    min_lr: float = 0.0
    warmup_steps: int = 500
    warmup_ratio: float = 1e-6
    clip_grad: float = 0.0
    ema_decay: float = 0.0
    ema_warmup: bool = True
    norms: NormMode = "eval"
    head_norms: HeadNorms = "live"
    trainable_stages: int = 4
    drop_path_rate: float = 0.0
    drop_rate: float = 0.1
    fpn_channels: int = 256
    head_channels: int = 128
    min_sizes: tuple[int, ...] = (800,)
    min_size: int = 800
    max_size: int = 1333
    crop: int = 512
    scale: tuple[float, float] = (0.5, 2.0)
    cat_max_ratio: float = 0.75
    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    channels_last: bool = True
    precision: TrainPrecision = "fp32"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    num_processes: int = 1
    seed: int = 0
    workers: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 1e6), ("batch_size", 1, 1e5), ("accumulate", 1, 1e4), ("lr", 1e-9, 10),
            ("weight_decay", 0, 10), ("gamma", 0, 1), ("power", 0, 10), ("min_lr", 0, self.lr),
            ("warmup_steps", 0, 1e7), ("warmup_ratio", 0, 1), ("clip_grad", 0, 1e6),
            ("ema_decay", 0, 0.999999), ("trainable_stages", 0, 4), ("drop_path_rate", 0, 0.99),
            ("drop_rate", 0, 0.99), ("fpn_channels", 8, 4096), ("head_channels", 8, 4096),
            ("min_size", 32, 1e5), ("max_size", self.min_size, 1e6), ("crop", 32, 1e5),
            ("cat_max_ratio", 0.01, 1), ("flip", 0, 1), ("brightness", 0, 1), ("contrast", 0, 1),
            ("saturation", 0, 1), ("hue", 0, 0.5), ("num_processes", 1, 1024), ("workers", 0, 256),
            ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            require_range(name, getattr(self, name), low, high)
        for name, allowed in (
            ("task", DENSE_TASKS), ("schedule", get_args(DenseSchedule)), ("norms", NORM_MODES),
            ("precision", get_args(TrainPrecision)), ("head_norms", get_args(HeadNorms)),
        ):  # fmt: skip
            require_one_of(name, getattr(self, name), allowed)
        for optional, low, high in (("backbone_lr", 0, 10), ("steps_per_epoch", 1, 1e7)):
            if getattr(self, optional) is not None:
                require_range(optional, getattr(self, optional), low, high)
        if not self.min_sizes:
            raise InvalidValue("min_sizes is empty: give one shorter side or several")
        for size in self.min_sizes:
            require_range("min_sizes", size, 32, 1e5)
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InvalidValue(f"scale must rise from above 0, got {list(self.scale)}")
        if self.task != "semantic" and self.head_norms == "sync":
            raise InvalidValue(
                f"head_norms are of task semantic: the heads of {self.task} have none"
            )
        require_optimizer(self.optimizer)

    @property
    def needs_sync(self) -> bool:
        """Whether BN takes statistics over processes, which needs CUDA."""
        return self.norms == "sync" or self.head_norms == "sync"

    def to_dict(self) -> dict[str, Any]:
        """Plain values of what decides the result (not device, workers and threads)."""
        values = {key: plain(value) for key, value in asdict(self).items() if key not in _MACHINE}
        if not self.channels_last:  # as of runs from before it could be chosen, which can go on so
            del values["channels_last"]
        return values


def load_dense_recipe(name_or_path: str | Path, task: DenseTask, **overrides: Any) -> DenseConfig:
    """Read a recipe that comes along, or a YAML file of the same keys.

    Args:
        name_or_path: see :func:`pocketeye.training.engine.recipe.list_recipes`.
        task: that the recipe must be for.
        overrides: values that win over the file's; None leaves the file's.

    Raises:
        InvalidValue, InvalidType, MissingFile: see
            :func:`pocketeye.training.classify.config.load_recipe`.
    """
    data = read_recipe(name_or_path, (task,))
    given = {key: value for key, value in overrides.items() if value is not None}
    return dataclass_of(DenseConfig, {**data, **given}, str(name_or_path))
