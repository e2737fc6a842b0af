"""Train trackers: what the two tasks share. Prompted clips in, the losses of all answers out."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pocketeye.data.clips import ClipBatch
from pocketeye.errors import InvalidValue
from pocketeye.models.tam import TAM, BackboneTrunk
from pocketeye.training.engine import NUM_OBJECTS, AveragedTask, scheduled
from pocketeye.training.tam.clip_forward import ClipForward, Plan
from pocketeye.training.tam.distill import FeatureTeacher, feature_loss, make_projection
from pocketeye.training.tam.losses import MaskPrediction, clip_loss
from pocketeye.training.tam.optim import make_optimizer, tam_learning_rate_factor
from pocketeye.training.tam.recipe import TamRecipe


class Shown(NamedTuple):
    """Hold the first batch of a validation with its answers, to be drawn."""

    batch: ClipBatch
    answers: list[MaskPrediction]


class TamTraining(AveragedTask):
    """Train a tracker on :class:`ClipBatch` of its own size.

    Logs ``train/loss`` and its unweighted parts, ``lr``, ``val/loss`` and ``val/iou`` (0 to 1): the IoU
    of the first answer in each annotated frame, averaged over the frames of an object, then over
    objects; where answers were corrected also ``val/iou_corrected``. A frame in which the object is
    neither to be seen nor claimed counts as 1. With a teacher also ``train/feature``.

    Args:
        model: the network to train.
        config: the recipe.
        teacher: no part of the module: neither saved nor trained; the layer between the two is.

    Raises:
        InvalidValue: a teacher for an image encoder that stays as it is; ``frozen_stride`` of a trunk
            without such a map.
    """

    model: TAM

    def __init__(
        self, model: TAM, config: TamRecipe, teacher: FeatureTeacher | None = None
    ) -> None:
        if config.channels_last:
            model.image_encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        frozen = config.encoder_lr == 0
        if frozen and teacher is not None:
            raise InvalidValue(
                f"the teacher {teacher.name} teaches the image encoder, which encoder_lr 0 keeps as it "
                "is: leave one of them out"
            )
        model.image_encoder.requires_grad_(not frozen)
        # Before the average is made and the optimiser asks what is to be trained.
        if config.frozen_stride:
            for parameter in early_parameters(model, config.frozen_stride):
                parameter.requires_grad_(False)
        super().__init__(model, config.ema_decay, config.ema_warmup)
        self.config, self.encoder_frozen = config, frozen
        self.teacher = teacher  # no nn.Module: its weights are not saved in each checkpoint
        self.projection = None if teacher is None else make_projection(model.dim, teacher.dim)
        self.shown: Shown | None = None

    @abstractmethod
    def training_plan(self, num_frames: int) -> Plan:
        """Draw how a batch is prompted, from torch's global generator."""

    @abstractmethod
    def validation_plan(self, num_frames: int) -> Plan:
        """Say how a batch of validation is prompted, always alike."""

    def on_fit_start(self) -> None:
        if self.teacher is not None:
            self.teacher.model.to(self.device)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        # In every step: Lightning sets the whole network to training mode again after each validation.
        if self.config.freeze_bn or self.encoder_frozen:
            for module in self.model.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def training_step(self, batch: ClipBatch, batch_idx: int) -> Tensor:
        batch = startable(batch)
        num_objects = len(batch.masks)
        if not num_objects:
            # No clip can start: zero times all weights, as processes wait for each other's gradients.
            return torch.stack([0.0 * p.sum() for p in self.parameters() if p.requires_grad]).sum()
        plan = self.training_plan(batch.frames.shape[1])
        forward = ClipForward(self.model, batch, plan)
        answers, weights = forward(), self.config.loss_weights
        parts = clip_loss(answers, batch.masks, batch.annotated, weights, self.config.loss_stride)
        loss = parts.total(weights)
        named = {f"train/{name}": part for name, part in parts._asdict().items()}
        if self.teacher is not None and self.projection is not None:
            wanted = self.teacher.features(forward.images)
            feature = feature_loss(self.projection(forward.features.feat), wanted)
            loss = loss + self.config.feature_weight * feature
            named["train/feature"] = feature
        self.log_step({"train/loss": loss, **named}, num_objects)
        return loss

    def on_validation_epoch_start(self) -> None:
        self.sums = self.zeros(4)  # loss, IoU of first and of last answers, objects
        self.shown = None

    def validation_step(self, batch: ClipBatch, batch_idx: int) -> None:
        batch = startable(batch)
        num_objects = len(batch.masks)
        if not num_objects:
            return
        model = self.best_model
        assert isinstance(model, TAM)
        plan = self.validation_plan(batch.frames.shape[1])
        answers = ClipForward(model.eval(), batch, plan)()
        weights = self.config.loss_weights
        # At stride 4, whatever the recipe trains at: curves of different recipes can be compared.
        parts = clip_loss(answers, batch.masks, batch.annotated, weights, stride=4)
        # object_iou counts the last answer of a frame: turned round, that is the first.
        first = object_iou(answers[::-1], batch).sum()
        last = object_iou(answers, batch).sum()
        loss = parts.total(weights) * num_objects
        self.sums += torch.stack([loss, first, last, loss.new_tensor(num_objects)])
        if self.shown is None:
            self.shown = Shown(batch, answers)

    def on_validation_epoch_end(self) -> None:
        loss, first, last, count = self.gathered(self.sums)
        values = {NUM_OBJECTS: count}
        count = count or math.nan  # there is no IoU without an object
        values |= {"val/loss": loss / count, "val/iou": first / count}
        if self.validation_plan(self.config.val_frames).clicks:
            values["val/iou_corrected"] = last / count
        self.log_dict(values)

    def configure_optimizers(self) -> Any:
        extra = () if self.projection is None else tuple(self.projection.parameters())
        optimizer = make_optimizer(self.model, self.config, extra)
        steps = int(self.trainer.estimated_stepping_batches)
        return scheduled(optimizer, tam_learning_rate_factor(self.config, steps))


def early_parameters(model: TAM, stride: int) -> list[nn.Parameter]:
    """Return the trunk's parameters up to its map of ``stride``.

    Raises:
        InvalidValue: the trunk has no such map.
    """
    trunk = model.image_encoder.trunk
    if not isinstance(trunk, BackboneTrunk):
        raise InvalidValue(
            f"frozen_stride {stride} freezes layers of a timm backbone, and this tracker has none: "
            "leave it at 0"
        )
    return trunk.parameters_up_to(stride)


def startable(batch: ClipBatch) -> ClipBatch:
    """Keep the objects that are to be seen in the first frame, where clips are prompted.

    A clip with none of them there, but with one in its last frame, is played backwards.
    """
    visible, num_clips = batch.visible(), len(batch.frames)
    at_start, at_end = (
        torch.zeros(num_clips, device=visible.device).index_add_(
            0, batch.clip_of, visible[:, frame].float()
        )
        for frame in (0, -1)
    )
    # An object that enters late teaches as much, seen from the end.
    backwards = (at_start == 0) & (at_end > 0)
    ours = backwards[batch.clip_of]
    frames = torch.where(backwards[:, None, None, None, None], batch.frames.flip(1), batch.frames)
    masks = torch.where(ours[:, None, None, None], batch.masks.flip(1), batch.masks)
    annotated = torch.where(ours[:, None], batch.annotated.flip(1), batch.annotated)
    keep = torch.where(ours, visible[:, -1], visible[:, 0])
    return ClipBatch(frames, masks[keep], annotated[keep], batch.clip_of[keep])


def object_iou(answers: Sequence[MaskPrediction], batch: ClipBatch) -> Tensor:
    """Return mean IoU ``(N,)`` over the annotated frames with an answer; a frame's last one counts."""
    by_frame = {prediction.frame: prediction for prediction in answers}
    ious, known = [], []
    for frame, prediction in by_frame.items():
        target = batch.masks[:, frame]
        size = target.shape[1:]
        logits = nn.functional.interpolate(prediction.mask.float(), size, mode="bilinear")[:, 0]
        both = ((logits > 0) & target).flatten(1).sum(1)
        either = ((logits > 0) | target).flatten(1).sum(1)
        # Neither there nor claimed: right.
        ious.append(torch.where(either > 0, both / either.clamp(min=1), 1.0))
        known.append(batch.annotated[:, frame])
    weight = torch.stack(known).float()
    return (torch.stack(ious) * weight).sum(0) / weight.sum(0).clamp(min=1)
