"""Open a trained classifier for use: a run, an exported artefact, or a network with weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from timm import is_model
from torch import nn

from pocketeye.data.transforms.transforms import Interpolation
from pocketeye.devices import Device, resolve_device
from pocketeye.errors import InvalidValue, require_range
from pocketeye.models import create_model, load_checkpoint
from pocketeye.models._create import create_for_checkpoint
from pocketeye.models.input_size import require_size
from pocketeye.models.reference import ArchitectureFile, ArtifactFolder, Run, expect
from pocketeye.models.task import CLASSIFY
from pocketeye.models.weights.bundled import bundled_runs
from pocketeye.predicting.class_names import (
    NUM_IMAGENET,
    imagenet_classes,
    numbered,
    read_classes,
)
from pocketeye.predicting.info import ModelInfo, input_stats
from pocketeye.predicting.predictor import ArtifactPredictor, Predictor, TorchPredictor
from pocketeye.runs import MODEL
from pocketeye.runtimes import Artifact, get_runtime


def open_predictor(
    model: str | Path,
    *,
    names: Path | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    input_size: int | None = None,
    device: Device = "auto",
    threads: int = 1,
) -> Predictor:
    """Open a classifier.

    Args:
        model: a run folder, the name of one that comes along, an artefact folder, or a name or
            ``architecture.json`` with weights.
        names: file with the names of the network's classes, one a line; it wins over what the
            network says.
        checkpoint: weights for a name or ``architecture.json``; the network gets as many classes and
            channels as they are for.
        pretrained: take the published weights of a name, see :func:`pocketeye.create_model`.
        input_size: another input side in pixels than the network's (not for artefacts).
        device: for torch networks.
        threads: for artefacts.

    Raises:
        MissingFile, InvalidValue: nothing usable there, a network of another kind, weights that do not
            fit, or another number of names than the network has classes.
    """
    if input_size is not None:
        # A side outside of this range is a slip of the keyboard.
        require_range("input_size", input_size, 4, 4096)
    given = None if names is None else read_classes(names)
    predictor = _open(model, checkpoint, pretrained, input_size, device, threads)
    if given is not None:
        if len(given) != predictor.info.num_classes:
            raise InvalidValue(
                f"{names} names {len(given)} classes, but {model} has {predictor.info.num_classes}"
            )
        predictor.info = replace(predictor.info, classes=given)
    return predictor


def _open(
    model: str | Path,
    checkpoint: Path | None,
    pretrained: bool,
    input_size: int | None,
    device: Device,
    threads: int,
) -> Predictor:
    named = expect(model, "a classifier's command", (CLASSIFY,))
    if isinstance(named, ArtifactFolder):
        return _open_artifact(named.folder, threads, input_size)
    place = resolve_device(device)
    if isinstance(named, Run) and checkpoint is None:
        info = ModelInfo.load(named.folder)
        assert named.weights  # says so where there are none yet
        info = replace(info, input_size=input_size or info.input_size)
        network = create_model(model)
        require_size(network, info.input_size, info.name)
        return TorchPredictor(network, info, place)
    own = named.weights if isinstance(named, ArchitectureFile) else None
    if checkpoint is None and own is None and not pretrained:
        raise InvalidValue(
            f"{model} has no trained weights: name a run folder or an artefact, add "
            f"--checkpoint FILE or --pretrained, or take {bundled_runs()[0]}, which comes along"
        )
    return _open_network(model, checkpoint, pretrained, input_size, place)


def _open_artifact(path: Path, threads: int, input_size: int | None) -> Predictor:
    artifact = Artifact.load(path)
    # Any ONNX file may be named: what is no classifier is told by its input.
    if len(artifact.inputs) != 1 or len(artifact.inputs[0].shape) != 4:
        raise InvalidValue(f"{path} is no classifier: it should take one image (N, C, H, W)")
    _, channels, size, _ = artifact.inputs[0].shape
    if input_size not in (None, size):
        raise InvalidValue(f"{path} was exported for {size} pixels, not {input_size}")
    # An artefact of another program has no note of how it sees images: the usual is assumed.
    if (path / MODEL).is_file():
        info = ModelInfo.load(path)
    else:
        names = numbered(artifact.outputs[0].shape[-1])
        info = ModelInfo.default(path.resolve().name, names, channels, size)
    executable = get_runtime(artifact.runtime).load(artifact, threads=threads)
    return ArtifactPredictor(executable, info)


def _open_network(
    model: str | Path,
    checkpoint: Path | None,
    pretrained: bool,
    input_size: int | None,
    device: torch.device,
) -> Predictor:
    """Open a name or an architecture; a ``model.json`` beside the weights says how it sees images."""
    info = None
    if checkpoint is None:
        module = create_model(model, pretrained=pretrained)
    # Weights copied out of a run still lie beside its description.
    elif (checkpoint.parent / MODEL).is_file():
        info = ModelInfo.load(checkpoint.parent)
        module = create_model(model, num_classes=info.num_classes, in_chans=info.in_chans)
        load_checkpoint(module, checkpoint)
    else:
        module = create_for_checkpoint(model, checkpoint)
    found = info or info_of(module, str(model))
    found = replace(found, input_size=input_size or found.input_size)
    require_size(module, found.input_size, found.name)
    return TorchPredictor(module, found, device, assumed=info is None)


def info_of(module: nn.Module, name: str) -> ModelInfo:
    """Return what timm's ``pretrained_cfg`` says of a network.

    Networks known by a name that have 1000 outputs are ImageNet's; other classes get numbers.
    """
    cfg: Any = getattr(module, "pretrained_cfg", None) or {}
    outputs = int(getattr(module, "num_classes", 0) or cfg.get("num_classes", 1000))
    channels, size, _ = cfg.get("input_size", (3, 224, 224))
    # The weights say how many channels there are; a cfg may be of another variant.
    stem = next((p for p in module.parameters() if p.ndim == 4), None)
    channels = channels if stem is None else int(stem.shape[1])
    of_1000 = outputs == NUM_IMAGENET and is_model(name.partition(".")[0])
    names = imagenet_classes() if of_1000 else numbered(outputs)
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
