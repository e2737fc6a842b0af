"""Open a trained detector or segmenter for use: images in, results or label maps out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from pocketeye.artifacts.dense import load_dense_artifact
from pocketeye.devices import Device, resolve_device
from pocketeye.models.dense.described import DenseDescription, DenseNetwork, open_dense
from pocketeye.models.dense.preprocess import label_map
from pocketeye.models.dense.semantic_fpn import SemanticFPN
from pocketeye.models.reference import ArtifactFolder, Run, expect
from pocketeye.models.task import DENSE
from pocketeye.results import Masks, Result


class DensePredictor(Protocol):
    """Describe a detector or segmenter ready for use: a run in torch, or an artefact in its runtime.

    ``predict`` takes uint8 RGB ``(H, W, 3)`` and gives a :class:`Result` each, best object first,
    with boxes, scores, names in ``labels`` and the image itself, of ``instance`` with masks; of
    ``semantic`` integers ``(H, W)``, the number of the class of every pixel.
    """

    @property
    def name(self) -> str:
        """Return what it is called in titles."""

    @property
    def description(self) -> DenseDescription:
        """Task and classes."""

    def predict(self, images: Sequence[np.ndarray]) -> list[Result] | list[np.ndarray]: ...


class TorchDensePredictor:
    """Predict with a network on a device."""

    def __init__(
        self,
        network: DenseNetwork,
        description: DenseDescription,
        device: torch.device | str = "cpu",
    ) -> None:
        # In eval mode, or BN would learn from the images it is asked about.
        self.network = network.eval().to(device)
        self.description = description
        self.name = f"{description.network} ({description.backbone})"
        self.device = torch.device(device)

    @torch.inference_mode()
    def predict(self, images: Sequence[np.ndarray]) -> list[Result] | list[np.ndarray]:
        pixels = [
            # A copy: arrays of images may be read-only, which torch warns of.
            torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1)
            for image in images
        ]
        network = self.network
        if isinstance(network, SemanticFPN):
            # torchvision's detectors take values 0 to 1 and normalise themselves.
            return [label_map(network, x, self.description).cpu().numpy() for x in pixels]
        found = network([x / 255 for x in pixels])
        classes = self.description.classes
        return [
            result_of({name: value.cpu().numpy() for name, value in row.items()}, classes, image)
            for row, image in zip(found, images, strict=True)
        ]


class ArtifactDensePredictor:
    """Predict with an artefact in its runtime; its input's shape is fixed, images are fitted into it."""

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.executable = load_dense_artifact(folder, threads=threads)
        self.description = DenseDescription.load(folder)
        artifact = self.executable.artifact
        backbone = self.description.backbone
        self.name = (
            f"{self.description.network} ({backbone}), {artifact.runtime} {artifact.precision}"
        )

    def predict(self, images: Sequence[np.ndarray]) -> list[Result] | list[np.ndarray]:
        # One by one: the graph has a batch of 1.
        found = [self.executable(image) for image in images]
        maps = [each for each in found if isinstance(each, np.ndarray)]
        if self.description.task.labels_pixels:
            return maps
        classes = self.description.classes
        return [
            result_of(each, classes, image)
            for each, image in zip(found, images, strict=True)
            if not isinstance(each, np.ndarray)
        ]


def result_of(found: dict[str, np.ndarray], classes: Sequence[str], image: np.ndarray) -> Result:
    """Make a :class:`Result` from ``boxes``, ``scores``, ``labels`` and, if any, ``masks``.

    Args:
        found: of one image; masks ``(N, H, W)`` or ``(N, 1, H, W)`` as probabilities.
        classes: names, in the order of the labels.
        image: uint8 RGB ``(H, W, 3)``.
    """
    size = (image.shape[1], image.shape[0])
    labels = found["labels"].astype(int).tolist()
    masks = None
    if "masks" in found:
        # as torchvision's demos do
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


def open_dense_predictor(
    model: str | Path, *, device: Device = "auto", threads: int = 1
) -> DensePredictor:
    """Open the run of a detector or segmenter, or an artefact made of one.

    Args:
        model: the folder, or the name of a run that comes along.
        device: for torch networks.
        threads: for artefacts.

    Raises:
        MissingFile, InvalidValue: no such network, another kind of network, or not finished.
    """
    named = expect(model, "a predictor of objects and pixels", DENSE)
    if isinstance(named, ArtifactFolder):
        return ArtifactDensePredictor(named.folder, threads)
    assert isinstance(named, Run)  # no name and no architecture stands for a whole detector
    network, description = open_dense(named.folder, resolve_device(device))
    return TorchDensePredictor(network, description, resolve_device(device))
