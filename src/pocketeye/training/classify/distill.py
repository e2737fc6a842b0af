"""Learn from a teacher: DeiT's distillation (arXiv 2012.12877) from any network of timm's kind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketeye.errors import InvalidValue
from pocketeye.models import create_model
from pocketeye.models._create import create_for_checkpoint
from pocketeye.models.input_size import fixed_size
from pocketeye.models.reference import ArchitectureFile, Run, expect
from pocketeye.models.task import CLASSIFY
from pocketeye.predicting.class_names import (
    NUM_IMAGENET,
    imagenet_classes,
    match_classes,
    numbered,
    of_imagenet,
)
from pocketeye.predicting.info import ModelInfo, input_stats
from pocketeye.training.classify.recipe import ClassifyRecipe

_REMEDY = "take one that was trained on such data, for example a run folder of pocketeye train"


class Teacher:
    """Run a teacher in eval mode, without gradients, on the student's batches.

    Args:
        module: ``(N, C, S, S)`` to ``(N, T)``, of as many classes as it knows.
        info: what it expects of its inputs.
        size: side in pixels that it sees images at; None: the student's, or the only one it takes.

    Attributes:
        places: of the student's classes among its own, once :meth:`require_fit` has found them; None
            where both know the same classes in the same order.
    """

    def __init__(self, module: nn.Module, info: ModelInfo, size: int | None = None) -> None:
        # Neither dropout nor statistics of the batch: a teacher answers the same every time.
        self.module = module.eval().requires_grad_(False)
        self.info, self.fixed_size = info, fixed_size(module)
        self.size = size or self.fixed_size
        self.places: list[int] | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the weights, in the order of the state dict."""
        digest = hashlib.sha256()
        # The names too: the same numbers under other names are another network.
        for name, value in self.module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def require_fit(self, student: ModelInfo) -> None:
        """Find the student's classes among its own, by name.

        Raises:
            InvalidValue: it lacks one, takes other channels, or another size than it is to see.
        """
        name, own = self.info.name, self.info
        if own.in_chans != student.in_chans:
            raise InvalidValue(
                f"the teacher {name} takes {own.in_chans} channels, the data have "
                f"{student.in_chans}: {_REMEDY}"
            )
        if self.fixed_size not in (None, self.size):
            raise InvalidValue(
                f"the teacher {name} takes images of {self.fixed_size} pixels only, not of "
                f"{self.size}: leave out teacher_size"
            )
        # Numbers only, but as many: they are taken to mean the same classes.
        if own.classes not in (student.classes, numbered(student.num_classes)):
            self.places = self._find_places(student)

    def _find_places(self, student: ModelInfo) -> list[int]:
        name, own, given = self.info.name, self.info, student.classes
        if own.classes == numbered(own.num_classes):
            raise InvalidValue(
                f"the teacher {name} tells {own.num_classes} classes, the data have {len(given)}: "
                f"{_REMEDY}"
            )
        # Labels that are numbers mean another thing than names, but for ImageNet.
        if given == numbered(own.num_classes) and own.classes != imagenet_classes():
            raise InvalidValue(  # ten digits are not ten letters
                f"the teacher {name} knows other classes than the data ({own.classes[0]!r}, for "
                f"example): {_REMEDY}"
            )
        try:
            places = match_classes(given, own.classes, student.data or "the set")
        except InvalidValue as error:
            raise InvalidValue(f"the teacher {name}: {error}; {_REMEDY}") from error
        return [int(place) for place in places]

    @torch.no_grad()
    def logits(self, x: Tensor, student: ModelInfo) -> Tensor:
        """Return ``(N, K)``, of the student's classes, for a batch ``(N, C, S, S)`` of the student's."""
        own = self.info
        # The student's normalisation is taken back, and the teacher's own applied.
        if (student.mean, student.std) != (own.mean, own.std):
            mean, std, own_mean, own_std = (
                torch.tensor(values, dtype=x.dtype, device=x.device).view(-1, 1, 1)
                for values in (student.mean, student.std, own.mean, own.std)
            )
            x = (x * std + (mean - own_mean)) / own_std
        if self.size not in (None, x.shape[-1]):
            size = (self.size, self.size)
            # antialiased, as Pillow resizes images
            x = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
        logits: Tensor = self.module(x)
        return logits if self.places is None else logits[:, self.places]

    def to(self, device: torch.device, layout: torch.memory_format) -> None:
        self.module.to(device, memory_format=layout)  # type: ignore[call-overload]


def open_teacher(config: ClassifyRecipe, student: ModelInfo) -> Teacher | None:
    """Open the teacher of a recipe, or return None where it names none.

    ``config.teacher`` is a run folder, or the name of a run that comes along; an ``architecture.json``
    with ``teacher_checkpoint``; or a name, with ``teacher_checkpoint``, or else with the published
    weights of :func:`pocketeye.create_model`. A name with 1000 outputs knows ImageNet's classes.

    Raises:
        InvalidValue, MissingFile: no such network or weights; other classes or channels.
        MissingExtra: the pip package with its weights is not installed.
    """
    if config.teacher is None:
        return None
    checkpoint = Path(config.teacher_checkpoint) if config.teacher_checkpoint else None
    named = expect(config.teacher, "a training as its teacher", (CLASSIFY,), artifacts=False)
    if isinstance(named, Run):
        teacher = _from_run(named, checkpoint)
    elif checkpoint is not None:
        # The weights tell channels and classes; a name alone would guess them.
        module = create_for_checkpoint(config.teacher, checkpoint)
        teacher = _of(module, config.teacher, published=of_imagenet(student.classes))
    elif isinstance(named, ArchitectureFile) and named.weights is None:
        raise InvalidValue(
            f"the teacher {config.teacher} has no weights: give teacher_checkpoint, or a run folder"
        )
    else:
        teacher = open_trained(config.teacher)
    # Some teachers take one size only, whatever the recipe says.
    teacher.size = config.teacher_size or teacher.fixed_size
    teacher.require_fit(student)
    return teacher


def open_trained(name: str) -> Teacher:
    """Open a trained network by the name of a run, or of published weights, with what it expects.

    Raises:
        InvalidValue, MissingFile: no such network, or one without weights.
        MissingExtra: the pip package with its weights is not installed.
    """
    named = expect(name, "a search from a network", (CLASSIFY,), artifacts=False)
    if isinstance(named, Run):
        return _from_run(named, None)
    if isinstance(named, ArchitectureFile):
        if named.weights is None:
            raise InvalidValue(f"the network {name} has no weights: give the folder of a run")
        return _of(create_model(name), name)
    return _of(create_model(name, pretrained=True), name, published=True)


def _from_run(run: Run, checkpoint: Path | None) -> Teacher:
    if checkpoint is not None:
        raise InvalidValue(
            f"the teacher {run.folder} is a run folder and has its own weights: leave out "
            "teacher_checkpoint"
        )
    assert run.weights  # says so where there are none yet
    return _of(create_model(run.folder), str(run.folder), ModelInfo.load(run.folder))


def _of(
    module: nn.Module, name: str, info: ModelInfo | None = None, *, published: bool = False
) -> Teacher:
    """Make a teacher that expects what ``info`` says, or else its ``pretrained_cfg``.

    ``published`` says that its 1000 classes, if it has as many, are those of ImageNet.
    """
    if info is not None:
        return Teacher(module, info)
    cfg: Any = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None) or {}
    # The first 4-dimensional parameter is the stem: it tells the channels.
    stem = next(p for p in module.parameters() if p.ndim == 4)
    count, in_chans = int(module.num_classes), int(stem.shape[1])  # type: ignore[arg-type]
    classes = imagenet_classes() if published and count == NUM_IMAGENET else numbered(count)
    mean, std = input_stats(module, in_chans)
    info = ModelInfo(
        name=name,
        num_classes=count,
        in_chans=in_chans,
        input_size=int((cfg.get("input_size") or (3, 224, 224))[-1]),
        classes=classes,
        mean=mean,
        std=std,
        crop_pct=float(cfg.get("crop_pct") or 1.0),
        interpolation="bicubic" if cfg.get("interpolation") == "bicubic" else "bilinear",
    )
    return Teacher(module, info)


def distilled_loss(
    base: Tensor, student: Tensor, teacher: Tensor, *, kind: Literal["soft", "hard"],
    alpha: float, tau: float,
) -> Tensor:  # fmt: skip
    """Return ``(1 - alpha) base + alpha d`` of DeiT, where ``d`` compares with the teacher.

    soft (eq. 2): ``d = tau^2 KL(softmax(teacher/tau) || softmax(student/tau))``, mean over the
    batch (DeiT's code divides by the number of classes too). hard (eq. 3, with ``alpha`` 1/2): cross
    entropy with the teacher's answer.

    Args:
        base: loss against the labels, a scalar.
        student: ``(N, K)``, of the second head where there is one.
        teacher: ``(N, K)``.
    """
    if kind == "hard":
        distance = F.cross_entropy(student, teacher.argmax(1))
    else:
        # tau squared: gradients of soft targets shrink with it (Hinton et al. 2015).
        distance = tau**2 * F.kl_div(
            F.log_softmax(student / tau, 1), F.log_softmax(teacher / tau, 1),
            reduction="batchmean", log_target=True,
        )  # fmt: skip
    return (1 - alpha) * base + alpha * distance
