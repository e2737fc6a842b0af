"""Define recipes of the tasks ``detect``, ``instance`` and ``semantic``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pocketeye.errors import InvalidValue
from pocketeye.models.dense.backbone import NormMode
from pocketeye.models.dense.described import DenseTask
from pocketeye.reading import Count, Range
from pocketeye.training.engine import DropRate, Rate, Share, SteppedRecipe

Side = Annotated[int, Range(32, 1e5)]
Width = Annotated[int, Range(8, 4096)]


@dataclass(frozen=True, kw_only=True)
class DenseRecipe(SteppedRecipe):
    """Say how a detector or segmenter is trained.

    Attributes:
        task: ``detect`` (RetinaNet), ``instance`` (Mask R-CNN) or ``semantic`` (Semantic FPN).
        steps_per_epoch: of the optimiser; None: one pass over the images.
        lr: peak learning rate of everything but the backbone, whose own is ``backbone_lr`` (None: the
            same).
        weight_decay: of all parameters; without ``decay_norms`` not of biases and norms.
        schedule: ``step``, ``cosine`` to ``min_lr``, or ``poly`` of ``power`` to ``min_lr``.
        norms: of the backbone, ``live``, ``sync``, ``eval`` or ``frozen``, see
            :class:`pocketeye.models.dense.backbone.DenseBackbone`.
        head_norms: of the head of ``semantic``, ``live`` or ``sync``.
        trainable_stages: of the backbone, counted from the deepest, 0 to 4.
        drop_path_rate: of the backbone.
        drop_rate: before the classifier of ``semantic``.
        fpn_channels: width of the pyramid (and of the detectors' heads); ``head_channels`` of the
            head of ``semantic``.
        input_size: shorter side in validation and use, in pixels.
        train_sizes: shorter sides in training, one of them by chance. ``semantic``: before ``scale``.
        max_size: of the longer side, which wins.
        crop: side of the square that ``semantic`` learns from; what is missing is ignored.
        scale: smallest and largest factor on ``train_sizes`` before the crop.
        cat_max_ratio: share of a crop that one class may fill before another is tried, ten times.
        flip: how often images are mirrored.
        brightness, contrast, saturation, hue: of the colour jitter; 0 for none.
    """

    task: DenseTask = "detect"
    # Data.
    input_size: Side = 800  # torchvision's sides, of COCO
    train_sizes: tuple[Side, ...] = (800,)
    max_size: Annotated[int, Range(32, 1e6)] = 1333
    # mmsegmentation's usual crop and augmentation.
    crop: Side = 512
    scale: tuple[float, float] = (0.5, 2.0)
    cat_max_ratio: Annotated[float, Range(0.01, 1)] = 0.75
    flip: Share = 0.5
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: Annotated[float, Range(0, 0.5)] = 0.0
    # Optimiser.
    epochs: Count = 12
    steps_per_epoch: Annotated[int, Range(1, 1e7)] | None = None
    batch_size: Count = 4
    lr: Rate = 2e-4
    backbone_lr: Annotated[float, Range(0, 10)] | None = None
    weight_decay: Annotated[float, Range(0, 10)] = 1e-4
    decay_norms: bool = True
    # Schedule.
    schedule: Literal["step", "cosine", "poly"] = "step"
    milestones: tuple[Annotated[int, Range(0, 1e6)], ...] = (8, 11)  # of 12: mmdetection's 1x
    power: Annotated[float, Range(0, 10)] = 0.9  # of DeepLab's poly schedule
    warmup_steps: Annotated[int, Range(0, 1e7)] = 500
    warmup_ratio: Share = 1e-6
    # Network.
    norms: NormMode = "eval"
    head_norms: Literal["live", "sync"] = "live"
    trainable_stages: Annotated[int, Range(0, 4)] = 4
    drop_path_rate: DropRate = 0.0
    drop_rate: DropRate = 0.1
    fpn_channels: Width = 256  # as in FPN (arXiv 1612.03144)
    head_channels: Width = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        # The limit wins: a smaller one would make the shorter side smaller than asked for.
        if self.max_size < self.input_size:
            raise InvalidValue(
                f"max_size is of the longer side, so from input_size ({self.input_size}) on, got "
                f"{self.max_size}"
            )
        if not self.train_sizes:
            raise InvalidValue("train_sizes is empty: give one shorter side or several")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InvalidValue(f"scale must rise from above 0, got {list(self.scale)}")
        if not self.record.labels_pixels and self.head_norms == "sync":
            raise InvalidValue(
                f"head_norms are of task semantic: the heads of {self.task} have none"
            )

    @property
    def needs_sync(self) -> bool:
        """Tell whether BN takes statistics over processes, which needs CUDA."""
        return self.norms == "sync" or self.head_norms == "sync"
