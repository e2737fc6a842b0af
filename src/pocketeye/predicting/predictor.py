"""A trained classifier ready for use: a run folder, an exported artefact, or a network with weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from timm import is_model
from torch import Tensor, nn

from pocketeye.data.transforms.transforms import Interpolation
from pocketeye.devices import Device, resolve_device
from pocketeye.errors import InvalidValue, MissingFile, require_range
from pocketeye.models import create_model, load_checkpoint
from pocketeye.models.bundled import bundled_runs, located
from pocketeye.predicting.class_names import (
    NUM_IMAGENET,
    imagenet_classes,
    numbered,
    of_imagenet,
    read_classes,
)
from pocketeye.predicting.info import FILE, ModelInfo, input_stats
from pocketeye.runs import BEST
from pocketeye.runtimes import MANIFEST, Artifact, Executable, get_runtime


class Predictor(ABC):
    """``logits`` of normalised inputs, and ``info`` about how to make them."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info

    @abstractmethod
    def logits(self, x: Tensor) -> np.ndarray:
        """float32 ``(N, num_classes)`` of float32 ``(N, C, S, S)``."""


class TorchPredictor(Predictor):
    """A module on a device."""

    def __init__(self, module: nn.Module, info: ModelInfo, device: torch.device) -> None:
        super().__init__(info)
        self.device = device
        self.module = module.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def logits(self, x: Tensor) -> np.ndarray:
        x = x.to(self.device).contiguous(memory_format=torch.channels_last)
        return np.asarray(self.module(x).float().cpu().numpy())


class ArtifactPredictor(Predictor):
    """An exported file in its runtime; its batch size is fixed."""

    def __init__(self, executable: Executable, info: ModelInfo) -> None:
        super().__init__(info)
        self.executable = executable
        self.batch = executable.artifact.inputs[0].shape[0]

    def logits(self, x: Tensor) -> np.ndarray:
        arrays = np.ascontiguousarray(x.numpy())
        filler = -len(arrays) % self.batch
        if filler:
            arrays = np.concatenate([arrays, np.zeros_like(arrays[:1]).repeat(filler, axis=0)])
        parts = [
            self.executable(np.ascontiguousarray(arrays[start : start + self.batch]))[0]
            for start in range(0, len(arrays), self.batch)
        ]
        return np.concatenate(parts)[: len(x)]


def open_predictor(
    model: str | Path,
    *,
    classes: tuple[str, ...] | None = None,
    names: Path | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    device: Device = "auto",
    threads: int = 1,
) -> Predictor:
    """Open what ``model`` names.

    Args:
        model: a run folder, the name of one that comes along, an artefact folder, or a name or
            ``architecture.json`` with weights.
        classes: of the data; used where the network does not know its own.
        names: file with the names of the network's classes, one a line; it wins over what the
            network says.
        checkpoint: weights for a name or ``architecture.json``.
        pretrained: take the published weights of a name, see :func:`pocketeye.create_model`.
        input_size: another input side in pixels than the network's (not for artefacts).
        device: for torch networks.
        threads: for artefacts.

    Raises:
        MissingFile, InvalidValue: nothing usable there, weights that do not fit, or another number of
            names than the network has classes.
    """
    if input_size is not None:
        require_range("input_size", input_size, 4, 4096)
    if names is not None:
        given = read_classes(names)
        try:
            predictor = open_predictor(
                model, classes=given, checkpoint=checkpoint, pretrained=pretrained,
                input_size=input_size, device=device, threads=threads,
            )  # fmt: skip
        except InvalidValue as error:
            raise InvalidValue(f"{error} ({names} names {len(given)} classes)") from error
        if len(given) != predictor.info.num_classes:
            raise InvalidValue(
                f"{names} names {len(given)} classes, but {model} has {predictor.info.num_classes}"
            )
        predictor.info = replace(predictor.info, classes=given)
        return predictor
    model = located(str(model))
    path = Path(model)
    if path.is_dir() and (path / MANIFEST).is_file():
        return _open_artifact(path, classes, threads, input_size)
    place = resolve_device(device)
    if path.is_dir() and checkpoint is None:
        return _open_run(path, input_size, place)
    if checkpoint is None and not pretrained:
        raise InvalidValue(
            f"{model} has no trained weights: name a run folder or an artefact, add "
            f"--checkpoint FILE or --pretrained, or take {bundled_runs()[0]}, which comes along"
        )
    return _open_network(model, classes, checkpoint, pretrained, input_size, place)


def _open_run(path: Path, input_size: int | None, device: torch.device) -> Predictor:
    info = ModelInfo.load(path)
    if not (path / BEST).is_file():
        raise MissingFile(f"{path} has no weights yet ({BEST} is missing): finish its training")
    info = replace(info, input_size=input_size or info.input_size)
    return TorchPredictor(create_model(path), info, device)


def _open_artifact(
    path: Path, classes: tuple[str, ...] | None, threads: int, input_size: int | None
) -> Predictor:
    artifact = Artifact.load(path)
    if len(artifact.inputs) != 1 or len(artifact.inputs[0].shape) != 4:
        raise InvalidValue(f"{path} is no classifier: it should take one image (N, C, H, W)")
    _, channels, size, _ = artifact.inputs[0].shape
    if input_size not in (None, size):
        raise InvalidValue(f"{path} was exported for {size} pixels, not {input_size}")
    outputs = artifact.outputs[0].shape[-1]
    if (path / FILE).is_file():
        info = ModelInfo.load(path)
    else:
        names = classes if classes and len(classes) == outputs else numbered(outputs)
        info = ModelInfo.default(path.resolve().name, names, channels, size)
    executable = get_runtime(artifact.runtime).load(artifact, threads=threads)
    return ArtifactPredictor(executable, info)


def _open_network(
    model: str | Path,
    classes: tuple[str, ...] | None,
    checkpoint: Path | None,
    pretrained: bool,
    input_size: int | None,
    device: torch.device,
) -> Predictor:
    beside = checkpoint.parent if checkpoint is not None else Path()
    info = ModelInfo.load(beside) if checkpoint and (beside / FILE).is_file() else None
    if info is not None:
        module = create_model(model, num_classes=info.num_classes, in_chans=info.in_chans)
    else:
        module = create_model(model, pretrained=pretrained)
    if checkpoint is not None:
        module = _load(module, model, checkpoint, None if info else classes)
    info = info or info_of(module, str(model), classes)
    return TorchPredictor(module, replace(info, input_size=input_size or info.input_size), device)


def _load(
    module: nn.Module, model: str | Path, checkpoint: Path, classes: tuple[str, ...] | None
) -> nn.Module:
    """The network with the weights in ``checkpoint``: as it is, or made for as many ``classes``."""
    try:
        return load_checkpoint(module, checkpoint)
    except InvalidValue:
        if classes is None or len(classes) == getattr(module, "num_classes", None):
            raise
    return load_checkpoint(create_model(model, num_classes=len(classes)), checkpoint)


def info_of(module: nn.Module, name: str, classes: tuple[str, ...] | None = None) -> ModelInfo:
    """What timm's ``pretrained_cfg`` says of a network.

    Networks known by a name that have 1000 outputs are ImageNet's; other classes get numbers.
    """
    cfg: Any = getattr(module, "pretrained_cfg", None) or {}
    outputs = int(getattr(module, "num_classes", 0) or cfg.get("num_classes", 1000))
    channels, size, _ = cfg.get("input_size", (3, 224, 224))
    stem = next((p for p in module.parameters() if p.ndim == 4), None)
    channels = channels if stem is None else int(stem.shape[1])
    fitting = classes if classes and len(classes) == outputs else None
    if (
        outputs == NUM_IMAGENET
        and is_model(name.partition(".")[0])
        and (fitting is None or of_imagenet(fitting))
    ):
        names = imagenet_classes()
    else:
        names = fitting or numbered(outputs)
    info = ModelInfo.default(name, names, channels, size)
    usual = cfg.get("interpolation")
    mean, std = input_stats(module, channels)
    return replace(
        info,
        mean=mean,
        std=std,
        crop_pct=float(cfg.get("crop_pct") or 1.0),
        interpolation=usual if usual in get_args(Interpolation) else "bilinear",
    )
