"""Learning from a teacher: DeiT's distillation (arXiv 2012.12877) from any network of timm's kind."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pocketeye.data.transforms.transforms import default_stats
from pocketeye.errors import InvalidValue
from pocketeye.models import create_model
from pocketeye.models._create import create_for_checkpoint
from pocketeye.models.reference import ArchitectureFile, Run, expect
from pocketeye.models.task import CLASSIFY
from pocketeye.predicting.info import ModelInfo
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.start import fixed_size


class Teacher:
    """A network in eval mode, without gradients, that takes the student's batches.

    Args:
        module: ``(N, C, S, S)`` to ``(N, K)``.
        info: what it expects of its inputs.
    """

    def __init__(self, module: nn.Module, info: ModelInfo) -> None:
        self.module = module.eval().requires_grad_(False)
        self.info, self.fixed_size = info, fixed_size(module)

    @property
    def sha256(self) -> str:
        """Of its weights."""
        digest = hashlib.sha256()
        for name, value in self.module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def require_fit(self, student: ModelInfo) -> None:
        """Raise InvalidValue unless it sees the student's images and knows its classes."""
        ours, theirs = student, self.info
        for what, got, wanted in (
            ("tells", theirs.num_classes, ours.num_classes),
            ("takes", theirs.in_chans, ours.in_chans),
        ):
            if got != wanted:
                unit = "classes" if what == "tells" else "channels"
                raise InvalidValue(
                    f"the teacher {theirs.name} {what} {got} {unit}, the data have {wanted}: take one "
                    "that was trained on such data, for example a run folder of pocketeye train"
                )
        numbered = tuple(str(number) for number in range(theirs.num_classes))
        if theirs.classes not in (ours.classes, numbered):
            odd = next(b for a, b in zip(ours.classes, theirs.classes, strict=True) if a != b)
            raise InvalidValue(
                f"the teacher {theirs.name} knows other classes than the data ({odd!r}, for example), "
                "or in another order: take one that was trained on such data"
            )

    @torch.no_grad()
    def logits(self, x: Tensor, student: ModelInfo) -> Tensor:
        """``(N, K)`` for a batch ``(N, C, S, S)`` normalised as the student's are."""
        own = self.info
        if (student.mean, student.std) != (own.mean, own.std):
            mean, std, own_mean, own_std = (
                torch.tensor(values, dtype=x.dtype, device=x.device).view(-1, 1, 1)
                for values in (student.mean, student.std, own.mean, own.std)
            )
            x = (x * std + (mean - own_mean)) / own_std
        if self.fixed_size not in (None, x.shape[-1]):
            size = (self.fixed_size, self.fixed_size)
            x = F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
        logits: Tensor = self.module(x)
        return logits

    def to(self, device: torch.device, layout: torch.memory_format) -> None:
        self.module.to(device, memory_format=layout)  # type: ignore[call-overload]


def open_teacher(config: ClassifyRecipe, student: ModelInfo) -> Teacher | None:
    """The teacher of a recipe, None where there is none; refused here if it does not fit the data.

    ``config.teacher`` is a run folder; an ``architecture.json`` with ``teacher_checkpoint``; or a
    name, with ``teacher_checkpoint``, or else with the published weights, which naming it fetches.

    Raises:
        InvalidValue, MissingFile: no such network or weights; another number of classes or channels.
    """
    if config.teacher is None:
        return None
    checkpoint = Path(config.teacher_checkpoint) if config.teacher_checkpoint else None
    named = expect(config.teacher, "a training as its teacher", (CLASSIFY,), artifacts=False)
    if isinstance(named, Run):
        teacher = _from_run(named, checkpoint)
    elif checkpoint is not None:
        teacher = _of(create_for_checkpoint(config.teacher, checkpoint), config.teacher)
    elif isinstance(named, ArchitectureFile):
        if named.weights is None:
            raise InvalidValue(
                f"the teacher {config.teacher} has no weights: give teacher_checkpoint, or a run "
                "folder"
            )
        teacher = _of(create_model(config.teacher), config.teacher)
    else:
        teacher = _of(create_model(config.teacher, pretrained=True), config.teacher)
    teacher.require_fit(student)
    return teacher


def _from_run(run: Run, checkpoint: Path | None) -> Teacher:
    if checkpoint is not None:
        raise InvalidValue(
            f"the teacher {run.folder} is a run folder and has its own weights: leave out "
            "teacher_checkpoint"
        )
    assert run.weights  # says so where there are none yet
    return _of(create_model(run.folder), str(run.folder), ModelInfo.load(run.folder))


def _of(module: nn.Module, name: str, info: ModelInfo | None = None) -> Teacher:
    """A teacher that expects what ``info`` says, or else its ``pretrained_cfg``."""
    cfg: Any = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None) or {}
    if info is not None:
        return Teacher(module, info)
    stem = next(p for p in module.parameters() if p.ndim == 4)
    classes, in_chans = int(module.num_classes), int(stem.shape[1])  # type: ignore[arg-type]
    usual = default_stats(in_chans)
    info = ModelInfo(
        name=name,
        num_classes=classes,
        in_chans=in_chans,
        input_size=int((cfg.get("input_size") or (3, 224, 224))[-1]),
        classes=tuple(str(number) for number in range(classes)),
        mean=tuple(cfg["mean"]) if len(cfg.get("mean") or ()) == in_chans else usual[0],
        std=tuple(cfg["std"]) if len(cfg.get("std") or ()) == in_chans else usual[1],
    )
    return Teacher(module, info)


def distilled_loss(
    base: Tensor, student: Tensor, teacher: Tensor, *, kind: Literal["soft", "hard"],
    alpha: float, tau: float,
) -> Tensor:  # fmt: skip
    """``(1 - alpha) base + alpha d`` of DeiT, where ``d`` compares with the teacher.

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
        distance = tau**2 * F.kl_div(
            F.log_softmax(student / tau, 1), F.log_softmax(teacher / tau, 1),
            reduction="batchmean", log_target=True,
        )  # fmt: skip
    return (1 - alpha) * base + alpha * distance
