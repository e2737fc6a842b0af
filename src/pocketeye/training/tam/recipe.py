"""Read recipes of the tasks ``segment-anything`` and ``track``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pocketeye.devices import rank_and_world
from pocketeye.errors import InvalidValue
from pocketeye.models.task import SEGMENT_ANYTHING, TRACK
from pocketeye.reading import Count, Range
from pocketeye.training.engine import Rate, Recipe, Share
from pocketeye.training.tam.losses import LossWeights

TamTask = Literal["segment-anything", "track"]
TAM_TASKS: tuple[TamTask, ...] = get_args(TamTask)
# A memory needs a frame to write it and one to read it.
_LEAST_FRAMES = {SEGMENT_ANYTHING: 1, TRACK: 2}
Weight = Annotated[float, Range(0, 1e4)]
# A clip is learnt from as a whole, with the features of all its frames in memory.
Few = Annotated[int, Range(1, 64)]


@dataclass(frozen=True, kw_only=True)
class TamRecipe(Recipe):
    """Say how a tracker is trained.

    Attributes:
        task: ``segment-anything``: images, prompted by clicks and boxes (stage 1 of SAM 2 and
            EfficientTAM); ``track``: clips, trained through the memory (stage 2).
        steps_per_epoch: of the optimiser.
        batch_size: clips per batch and process.
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
        weight_decay: of everything but biases, norms and other one-dimensional parameters.
        schedule: ``cosine`` to ``min_lr``, ``inverse_sqrt`` of the step, or ``constant``.
        cooldown_steps: linear fall to ``min_lr`` at the end, of at most half of the training.
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
        freeze_bn: keep the statistics of BN as they are.
        frozen_stride: the backbone's layers up to its map of this stride (4 or 8) keep their weights,
            0 for none. The maps of strides 2 and 4 are the largest: frozen they make the encoder's
            part of a step a third faster. Together with ``freeze_bn``, for pretrained trunks.
        checkpointing: compute features again in the backward pass, for less memory.
        val_clips: clips of a validation, of ``val_frames`` frames each.
    """

    task: TamTask = "track"
    # Data.
    num_frames: Few = 8  # SAM 2's clips, as are 3 objects
    max_objects: Few = 3
    image_share: Share = 0.0
    synthetic_share: Share = 0.5
    overlaid_share: Share = 0.3
    val_clips: Count = 48
    val_frames: Few = 8
    # Optimiser.
    epochs: Count = 20
    steps_per_epoch: Annotated[int, Range(1, 1e7)] = 250
    batch_size: Count = 4
    lr: Rate = 3e-4
    encoder_lr: Annotated[float, Range(0, 10)] | None = None
    layer_decay: Annotated[float, Range(0.01, 1)] = 1.0
    weight_decay: Annotated[float, Range(0, 10)] = 0.1  # EfficientTAM's
    clip_grad: Annotated[float, Range(0, 1e6)] = 0.1  # SAM 2's largest norm
    # Schedule.
    schedule: Literal["cosine", "inverse_sqrt", "constant"] = "cosine"
    cooldown_steps: Annotated[int, Range(0, 1e7)] = 0
    # Loss.
    focal_weight: Weight = 20.0
    dice_weight: Weight = 1.0
    iou_weight: Weight = 1.0
    object_weight: Weight = 1.0
    feature_weight: Weight = 1.0
    focal_alpha: Share = 0.25
    focal_gamma: Annotated[float, Range(0, 10)] = 2.0
    loss_stride: Literal[1, 2, 4] = 1
    # Prompts.
    # SAM 2's: mask 1/2, box 1/4, click 1/4; 7 corrective clicks; at most 2 frames corrected.
    mask_prob: Share = 0.5
    box_prob: Share = 0.25
    centre_prob: Share = 0.1
    correction_clicks: Annotated[int, Range(0, 32)] = 7
    corrected_frames: Annotated[int, Range(0, 8)] = 2
    correction_prob: Share = 1.0
    binarize_prompted: bool = True
    # Network.
    freeze_bn: bool = False
    frozen_stride: Literal[0, 4, 8] = 0
    checkpointing: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask_prob + self.box_prob > 1:
            raise InvalidValue(
                f"mask_prob and box_prob are shares of one whole, and {self.mask_prob:g} and "
                f"{self.box_prob:g} are more"
            )
        least = _LEAST_FRAMES[self.record]
        if self.num_frames < least:
            raise InvalidValue(
                f"task {self.task} needs num_frames of {least} or more: a memory has to be read"
            )

    @property
    def trains_memory(self) -> bool:
        """Tell whether clips have later frames, which read a memory."""
        return _LEAST_FRAMES[self.record] > 1

    @property
    def loss_weights(self) -> LossWeights:
        """The weights of the loss as the loss takes them."""
        return LossWeights(
            focal=self.focal_weight,
            dice=self.dice_weight,
            iou=self.iou_weight,
            object=self.object_weight,
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
        )


def samples_per_epoch(config: TamRecipe) -> int:
    """Return the number of clips of an epoch, of all processes."""
    world = max(rank_and_world()[1], config.num_processes)
    return config.steps_per_epoch * config.accumulate * config.batch_size * world
