"""A trained detector or segmenter ready for use: pictures in, results or label maps out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pocketeye.artifacts.dense import is_dense_artifact, load_dense_artifact
from pocketeye.devices import Device, resolve_device
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.bundled import located
from pocketeye.models.dense.described import DenseDescription, DenseNetwork, open_dense
from pocketeye.models.dense.semantic_fpn import SemanticFPN
from pocketeye.results import Masks, Result

_CHUNK = 32
"""Classes whose logits are resized at once: 150 of them would fill gigabytes."""


class DensePredictor(Protocol):
    """What judges and draws: a run in torch, or an artefact in its runtime.

    ``predict`` takes uint8 RGB ``(H, W, 3)`` and gives a :class:`Result` each, best object first,
    with boxes, scores, names in ``labels`` and the picture itself, of ``instance`` with masks; of
    ``semantic`` integers ``(H, W)``, the number of the class of every pixel.
    """

    @property
    def name(self) -> str:
        """What it is called in titles."""

    @property
    def description(self) -> DenseDescription:
        """Task and classes."""

    def predict(self, images: Sequence[np.ndarray]) -> list[Result] | list[np.ndarray]: ...


class TorchDensePredictor:
    """A network on a device."""

    def __init__(
        self,
        network: DenseNetwork,
        description: DenseDescription,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network.eval().to(device)
        self.description = description
        self.name = f"{description.network} ({description.backbone})"
        self.device = torch.device(device)

    @torch.inference_mode()
    def predict(self, images: Sequence[np.ndarray]) -> list[Result] | list[np.ndarray]:
        pixels = [
            torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1) for image in images
        ]
        network = self.network
        if isinstance(network, SemanticFPN):
            return [label_map(network, x, self.description).cpu().numpy() for x in pixels]
        found = network([x / 255 for x in pixels])
        classes = self.description.classes
        return [
            result_of({name: value.cpu().numpy() for name, value in row.items()}, classes, image)
            for row, image in zip(found, images, strict=True)
        ]


class ArtifactDensePredictor:
    """An artefact in its runtime; the shape of its input is fixed, pictures are fitted into it."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.executable = load_dense_artifact(folder, threads=threads)
        self.description = DenseDescription.load(folder)
        artifact = self.executable.artifact
        backbone = self.description.backbone
        self.name = (
            f"{self.description.network} ({backbone}), {artifact.runtime} {artifact.precision}"
        )

    def predict(self, images: Sequence[np.ndarray]) -> list[Result] | list[np.ndarray]:
        found = [self.executable(image) for image in images]
        maps = [each for each in found if isinstance(each, np.ndarray)]
        if self.description.task == "semantic":
            return maps
        classes = self.description.classes
        return [
            result_of(each, classes, image)
            for each, image in zip(found, images, strict=True)
            if not isinstance(each, np.ndarray)
        ]


def label_map(network: SemanticFPN, image: Tensor, described: DenseDescription) -> Tensor:
    """int64 ``(H, W)`` on uint8 ``(3, H, W)``: resized as the description says, and back."""
    size: tuple[int, int] = (image.shape[1], image.shape[2])
    return best_class(network(as_seen(image, described)[None])[0], size)


def as_seen(image: Tensor, described: DenseDescription) -> Tensor:
    """uint8 ``(3, H, W)`` normalised and resized as the description says, float32."""
    size: tuple[int, int] = (image.shape[1], image.shape[2])
    return resize(
        normalised(image, described), fitted(size, described.min_size, described.max_size)
    )


def normalised(images: Tensor, described: DenseDescription) -> Tensor:
    """uint8 ``(…, 3, H, W)`` as the network takes them, float32."""
    mean, std = (
        torch.tensor(values, device=images.device).view(3, 1, 1)
        for values in (described.mean, described.std)
    )
    return (images.float() / 255 - mean) / std


def result_of(found: dict[str, np.ndarray], classes: Sequence[str], image: np.ndarray) -> Result:
    """A :class:`Result` from ``boxes``, ``scores``, ``labels`` and, if any, ``masks``.

    Args:
        found: of one picture; masks ``(N, H, W)`` or ``(N, 1, H, W)`` as probabilities.
        classes: names, in the order of the labels.
        image: uint8 RGB ``(H, W, 3)``.
    """
    size = (image.shape[1], image.shape[0])
    labels = found["labels"].astype(int).tolist()
    masks = None
    if "masks" in found:
        masks = Masks.from_dense(found["masks"].reshape(-1, size[1], size[0]) > 0.5)
    return Result(
        size=size,
        boxes=found["boxes"],
        scores=found["scores"],
        labels=[classes[label] for label in labels],
        class_ids=labels,
        masks=masks,
        image=image,
    )


def fitted(size: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """``size`` (height, width) so that its shorter side is ``min_size`` and none above ``max_size``."""
    scale = min(min_size / min(size), max_size / max(size))
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, ``(C, h, w)`` to ``(C, *size)``, as the numpy companion of artefacts does it."""
    if tuple(x.shape[1:]) == size:
        return x
    return F.interpolate(x[None], size, mode="bilinear", align_corners=False)[0]


def best_class(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """int64 ``size`` of ``(K, h, w)``: the class of the highest logit, resized before it is chosen."""
    best, labels = torch.empty(0), torch.empty(0)
    for start in range(0, len(logits), _CHUNK):
        value, label = resize(logits[start : start + _CHUNK].float(), size).max(dim=0)
        if not start:
            best, labels = value, label
            continue
        higher = value > best
        best, labels = torch.where(higher, value, best), torch.where(higher, label + start, labels)
    return labels


def open_dense_predictor(
    model: str | Path, *, device: Device = "auto", threads: int = 1
) -> DensePredictor:
    """Open the run folder of a detector or segmenter, or an artefact made of one.

    Args:
        model: the folder.
        device: for torch networks.
        threads: for artefacts.

    Raises:
        MissingFile, InvalidValue: no such folder, not one of a detector or segmenter, or not finished.
    """
    path = Path(located(str(model)))
    if not path.is_dir():
        raise MissingFile(
            f"no run at {model}: give the folder of a run of pocketeye train --task detect, instance "
            "or semantic, or of an artefact exported from one"
        )
    if is_dense_artifact(path):
        return ArtifactDensePredictor(path, threads)
    network, description = open_dense(path, resolve_device(device))
    return TorchDensePredictor(network, description, resolve_device(device))


def require_task(predictor: DensePredictor, task: str) -> None:
    """Raise InvalidValue for a network of another task."""
    own = predictor.description.task
    if own != task:
        raise InvalidValue(f"{predictor.name} was trained to {_VERBS[own]}: use --task {own}")


_VERBS = {
    "detect": "detect objects", "instance": "outline objects", "semantic": "name every pixel",
}  # fmt: skip
