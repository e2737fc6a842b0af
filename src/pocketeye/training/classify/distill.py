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
from pocketeye.models import create_model, load_checkpoint
from pocketeye.models._weights import read_state_dict
from pocketeye.predicting.info import FILE, ModelInfo
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.start import classes_in, fixed_size

_RUN_WEIGHTS = "best.safetensors"


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
    path = Path(config.teacher)
    checkpoint = Path(config.teacher_checkpoint) if config.teacher_checkpoint else None
    if path.is_dir():
        teacher = _from_run(path, checkpoint)
    elif path.suffix == ".json" or len(path.parts) > 1:
        if checkpoint is None:
            raise InvalidValue(
                f"the teacher {path} has no weights: give teacher_checkpoint, or a run folder"
            )
        teacher = _of(load_checkpoint(create_model(path), checkpoint), str(path))
    else:
        teacher = _of(_named(config.teacher, checkpoint), config.teacher)
    teacher.require_fit(student)
    return teacher


def _from_run(folder: Path, checkpoint: Path | None) -> Teacher:
    if checkpoint is not None:
        raise InvalidValue(
            f"the teacher {folder} is a run folder and has its own weights: leave out "
            "teacher_checkpoint"
        )
    if not (folder / _RUN_WEIGHTS).is_file():
        raise InvalidValue(f"the teacher {folder} has no trained weights ({_RUN_WEIGHTS})")
    module = create_model(folder)
    info = ModelInfo.load(folder) if (folder / FILE).is_file() else None
    return _of(module, str(folder), info)


def _named(name: str, checkpoint: Path | None) -> nn.Module:
    if checkpoint is None:
        return create_model(name, pretrained=True)
    state = read_state_dict(checkpoint)
    with torch.random.fork_rng(devices=[]):
        held = classes_in(state, create_model(name))
        known: dict[str, Any] = {} if held is None else {"num_classes": held}
        module = create_model(name, **known)
        first = next((k for k, p in module.named_parameters() if p.ndim == 4), "")
        if first in state and state[first].shape[1] != module.get_parameter(first).shape[1]:
            module = create_model(name, **known, in_chans=int(state[first].shape[1]))
    return load_checkpoint(module, checkpoint)


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
