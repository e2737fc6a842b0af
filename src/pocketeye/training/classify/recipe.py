"""Define recipes of the task ``classify``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pocketeye.data.transforms.transforms import TransformRecipe
from pocketeye.errors import InvalidValue
from pocketeye.reading import Range
from pocketeye.training.engine import DropRate, Rate, Share, SteppedRecipe

# Networks halve the image five times: below this side nothing is left of it.
_SMALLEST_SCALE = 32


@dataclass(frozen=True, kw_only=True)
class ClassifyRecipe(TransformRecipe, SteppedRecipe):
    """Say how a classifier is trained.

    Attributes:
        input_size: side of the square input; by default the network's or the images'.
        multi_scale: pairs of input size and batch size, one of which every batch has (MobileViT's
            sampler, arXiv 2110.02178); validation stays at ``input_size``.
        weight_decay: of everything but biases and one-dimensional parameters.
        schedule: ``cosine`` to ``min_lr``, or ``step``.
        label_smoothing: share given to all classes.
        mixup, cutmix: alpha of each, 0 for none.
        mixup_prob: probability that a batch is mixed at all.
        mixup_switch_prob: probability of cutmix where there are both.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth of the last block; given to the network when it is made.
        teacher: a network to learn from, see :func:`pocketeye.training.classify.distill.open_teacher`.
        teacher_checkpoint: file of its weights.
        teacher_size: side in pixels of the images it sees; None: the student's, or the only one it
            takes. Small images are worth enlarging: EfficientNet-Lite2 knows 46 % of tiny-imagenet-24
            at 64 pixels, 82 % at 128.
        distill: ``soft`` or ``hard`` (DeiT, arXiv 2012.12877, eq. 2 and 3).
        distill_alpha: share of the teacher in the loss.
        distill_tau: temperature of ``soft``.
        distill_head: give the network a second head for the teacher (CAS-ViT: ``distilled``).
        sync_bn: BN statistics over all processes (CUDA only).
    """

    task: Literal["classify"] = "classify"
    multi_scale: tuple[tuple[int, int], ...] = ()
    lr: Rate = 0.1
    optimizer: str = "sgd"
    weight_decay: Annotated[float, Range(0, 10)] = 5e-5
    schedule: Literal["cosine", "step"] = "cosine"
    warmup_epochs: Annotated[float, Range(0, 1e5)] = 1.0
    label_smoothing: Annotated[float, Range(0, 0.99)] = 0.1
    mixup: Annotated[float, Range(0, 10)] = 0.0
    cutmix: Annotated[float, Range(0, 10)] = 0.0
    mixup_prob: Share = 1.0
    mixup_switch_prob: Share = 0.5
    drop_rate: DropRate = 0.0
    drop_path_rate: DropRate = 0.0
    teacher: str | None = None
    teacher_checkpoint: str | None = None
    teacher_size: Annotated[int, Range(_SMALLEST_SCALE, 4096)] | None = None
    distill: Literal["none", "soft", "hard"] = "none"
    distill_alpha: Share = 0.5
    distill_tau: Annotated[float, Range(0.01, 100)] = 1.0
    distill_head: bool = False
    sync_bn: bool = False

    def __post_init__(self) -> None:
        TransformRecipe.__post_init__(self)
        SteppedRecipe.__post_init__(self)
        # The steps themselves say where the rate ends.
        if self.schedule == "step" and self.min_lr:
            raise InvalidValue(
                f"min_lr is what schedule 'cosine' ends at: leave it out with 'step', got {self.min_lr}"
            )
        self._require_distillation()
        _require_scales(self.multi_scale)
        batches = [batch for _, batch in self.multi_scale] or [self.batch_size]
        odd = next((batch for batch in batches if batch % 2), None)
        # timm's Mixup pairs the images of a batch, and asserts that their number is even.
        if (self.mixup or self.cutmix) and odd:
            raise InvalidValue(f"mixup and cutmix need an even batch size, got {odd}")

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
