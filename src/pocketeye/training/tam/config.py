"""Recipes of the tasks ``segment-anything`` and ``track``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue, require_one_of, require_range
from pocketeye.training.engine.convert import dataclass_of, plain
from pocketeye.training.engine.recipe import TrainPrecision, read_recipe, require_optimizer
from pocketeye.training.tam.losses import STRIDES, LossWeights

TamTask = Literal["segment-anything", "track"]
TAM_TASKS: tuple[TamTask, ...] = get_args(TamTask)
TamSchedule = Literal["cosine", "inverse_sqrt", "constant"]
_MACHINE = ("device", "workers", "threads")


@dataclass(frozen=True, kw_only=True)
class TamConfig:
    """How a tracker is trained; the keys of a recipe file are these fields.

    Attributes:
        task: ``segment-anything``: images, prompted by clicks and boxes (stage 1 of SAM 2 and
            EfficientTAM); ``track``: clips, trained through the memory (stage 2).
        epochs: of ``steps_per_epoch`` steps of the optimiser each; after each comes validation, and a
            checkpoint to go on from.
        batch_size: clips per step and process.
        accumulate: batches whose gradients make one step.
        num_frames: of a clip; images are clips of one frame.
        max_objects: of a clip.
        image_share: share of the batches of ``track`` that are images.
        synthetic_share: share of its clips that are made from cut-outs, where there is anything to
            cut out; with images alone all are.
        overlaid_share: share of its real clips over which something passes: their object is hidden, and
            has look-alikes.
        lr: peak learning rate of everything but the image encoder, whose own is ``encoder_lr`` (None:
            the same; 0: it stays as it is, which makes a step about twice as fast).
        layer_decay: factor of the rate from each layer of the image encoder's trunk to the one before.
        optimizer: name known to timm.
        betas: of AdamW and its like.
        weight_decay: of everything but biases, norms and other one-dimensional parameters.
        schedule: ``cosine`` to ``min_lr``, ``inverse_sqrt`` of the step, or ``constant``.
        warmup_steps: linear rise to ``lr``, of at most half of the training.
        cooldown_steps: linear fall to ``min_lr`` at the end, of at most half of the training.
        clip_grad: largest norm of the gradient, 0 for no limit.
        ema_decay: of the moving average of the weights, which then is what gets validated and saved;
            0 for none. ``ema_warmup`` lets the decay rise to it.
        focal_weight, dice_weight, iou_weight, object_weight: of the parts of the loss.
        feature_weight: of what the image encoder learns from a teacher's features, where there is one.
        focal_alpha, focal_gamma: weight of pixels in the object, 0 to 1 (the others': the rest), and
            exponent of the focal loss.
        loss_stride: 1 compares every pixel of the input, 4 the cells of the network's logits, for a
            fraction of the time.
        mask_prob, box_prob: how often the first frame is prompted with a mask or a box; else a click.
            ``segment-anything`` is never given the mask.
        centre_prob: share of the clicks that go to the middle, the others anywhere.
        correction_clicks: after the first prompt, in each corrected frame; none where a mask was given.
        corrected_frames: at most so many frames of a clip are corrected, the first always.
        correction_prob: how often a batch is corrected at all.
        binarize_prompted: remember prompted frames as yes or no, as sessions do.
        image_size: side of the input; by default the network's.
        freeze_bn: keep the statistics of BN as they are.
        frozen_stride: the backbone's layers up to its map of this stride (4 or 8) keep their weights,
            0 for none. The maps of strides 2 and 4 are the largest: frozen they make the encoder's
            part of a step a third faster. Together with ``freeze_bn``, for pretrained trunks.
        checkpointing: compute features again in the backward pass, for less memory.
        channels_last: NHWC memory for the image encoder.
        val_clips: clips of a validation, of ``val_frames`` frames each.
        precision: ``fp32``, or mixed ``bf16``, or mixed ``fp16`` (CUDA only).
        num_processes: data-parallel processes.
        workers: processes that prepare clips; 0: in the training process.
        threads: torch's threads, None: as they are.
    """

    task: TamTask = "track"
    epochs: int = 20
    steps_per_epoch: int = 250
    batch_size: int = 4
    accumulate: int = 1
    num_frames: int = 8
    max_objects: int = 3
    image_share: float = 0.0
    synthetic_share: float = 0.5
    overlaid_share: float = 0.3
    lr: float = 3e-4
    encoder_lr: float | None = None
    layer_decay: float = 1.0
    optimizer: str = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.1
    schedule: TamSchedule = "cosine"
    warmup_steps: int = 0
    cooldown_steps: int = 0
    min_lr: float = 0.0
    clip_grad: float = 0.1
    ema_decay: float = 0.0
    ema_warmup: bool = True
    focal_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    object_weight: float = 1.0
    feature_weight: float = 1.0
    focal_alpha: float = 0.25
    focal_gamma: float = 2.0
    loss_stride: int = 1
    mask_prob: float = 0.5
    box_prob: float = 0.25
    centre_prob: float = 0.1
    correction_clicks: int = 7
    corrected_frames: int = 2
    correction_prob: float = 1.0
    binarize_prompted: bool = True
    image_size: int | None = None
    freeze_bn: bool = False
    frozen_stride: Literal[0, 4, 8] = 0
    checkpointing: bool = False
    channels_last: bool = True
    val_clips: int = 48
    val_frames: int = 8
    precision: TrainPrecision = "fp32"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    num_processes: int = 1
    seed: int = 0
    workers: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (
            ("epochs", 1, 1e6), ("steps_per_epoch", 1, 1e7), ("batch_size", 1, 1e5),
            ("accumulate", 1, 1e4), ("num_frames", 1, 64), ("max_objects", 1, 64),
            ("image_share", 0, 1), ("synthetic_share", 0, 1), ("overlaid_share", 0, 1),
            ("lr", 1e-9, 10), ("layer_decay", 0.01, 1), ("weight_decay", 0, 10),
            ("warmup_steps", 0, 1e7), ("cooldown_steps", 0, 1e7),
            ("min_lr", 0, self.lr), ("clip_grad", 0, 1e6),
            ("ema_decay", 0, 0.999999), ("focal_weight", 0, 1e4), ("dice_weight", 0, 1e4),
            ("iou_weight", 0, 1e4), ("object_weight", 0, 1e4), ("mask_prob", 0, 1),
            ("feature_weight", 0, 1e4),
            ("focal_alpha", 0, 1), ("focal_gamma", 0, 10),
            ("box_prob", 0, 1), ("centre_prob", 0, 1), ("correction_clicks", 0, 32),
            ("corrected_frames", 0, 8), ("correction_prob", 0, 1),
            ("val_clips", 1, 1e6), ("val_frames", 1, 64), ("num_processes", 1, 1024),
            ("workers", 0, 256), ("seed", 0, 2**63 - 1),
        ):  # fmt: skip
            require_range(name, getattr(self, name), low, high)
        for name, allowed in (
            ("task", TAM_TASKS), ("schedule", get_args(TamSchedule)),
            ("precision", get_args(TrainPrecision)), ("loss_stride", STRIDES),
            ("frozen_stride", (0, 4, 8)),
        ):  # fmt: skip
            require_one_of(name, getattr(self, name), allowed)
        if self.encoder_lr is not None:
            require_range("encoder_lr", self.encoder_lr, 0, 10)
        if self.mask_prob + self.box_prob > 1:
            raise InvalidValue(
                f"mask_prob and box_prob are shares of one whole, and {self.mask_prob:g} and "
                f"{self.box_prob:g} are more"
            )
        if self.task == "track" and self.num_frames < 2:
            raise InvalidValue("task track needs num_frames of 2 or more: a memory has to be read")
        require_optimizer(self.optimizer)

    @property
    def loss_weights(self) -> LossWeights:
        return LossWeights(
            focal=self.focal_weight,
            dice=self.dice_weight,
            iou=self.iou_weight,
            object=self.object_weight,
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values of what decides the result (not device, workers and threads)."""
        return {key: plain(value) for key, value in asdict(self).items() if key not in _MACHINE}


def load_tam_recipe(name_or_path: str | Path, task: TamTask, **overrides: Any) -> TamConfig:
    """Read a tracker's recipe that comes along, or a YAML file of the same keys.

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
    return tam_config_from_dict({**data, **given}, str(name_or_path))


def tam_config_from_dict(data: dict[str, Any], source: str = "recipe") -> TamConfig:
    """A config from plain values, checked and converted.

    Raises:
        InvalidValue, InvalidType: see :func:`load_tam_recipe`.
    """
    return dataclass_of(TamConfig, data, source)


def samples_per_epoch(config: TamConfig) -> int:
    """Clips of an epoch, of all processes."""
    world = max(rank_and_world()[1], config.num_processes)
    return config.steps_per_epoch * config.accumulate * config.batch_size * world
