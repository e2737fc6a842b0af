"""Use a trained classifier: logits of images, in torch or of an artefact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from pocketeye.predicting.class_names import (
    numbered,
    of_imagenet,
)
from pocketeye.predicting.info import ModelInfo
from pocketeye.runtimes import Executable


class Predictor(ABC):
    """Give ``logits`` of normalised inputs, and ``info`` about how to make them.

    ``assumed`` says that the names of its classes are a guess: a network of 1000 outputs that goes by a
    registered name is taken to be ImageNet's.
    """

    def __init__(self, info: ModelInfo, *, assumed: bool = False) -> None:
        self.info, self.assumed = info, assumed

    def adopt_names(self, classes: tuple[str, ...]) -> None:
        """Take the data's names of classes where the network does not know its own and has as many."""
        own = self.info.classes
        foreign = self.assumed and not of_imagenet(classes)
        # Names from the data are taken only where the network's own say nothing.
        if len(classes) == len(own) and (foreign or own == numbered(len(own))):
            self.info = replace(self.info, classes=classes)

    @abstractmethod
    def logits(self, x: Tensor) -> np.ndarray:
        """Return float32 logits ``(N, num_classes)`` of normalised float32 images ``(N, C, S, S)``."""


class TorchPredictor(Predictor):
    """Predict with a module on a device."""

    def __init__(
        self, module: nn.Module, info: ModelInfo, device: torch.device, *, assumed: bool = False
    ) -> None:
        super().__init__(info, assumed=assumed)
        self.device = device
        # Depthwise convolutions are faster in this layout.
        self.module = module.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def logits(self, x: Tensor) -> np.ndarray:
        x = x.to(self.device).contiguous(memory_format=torch.channels_last)
        return np.asarray(self.module(x).float().cpu().numpy())


class ArtifactPredictor(Predictor):
    """Predict with an exported file in its runtime; its batch size is fixed."""

    def __init__(self, executable: Executable, info: ModelInfo) -> None:
        super().__init__(info)
        self.executable = executable
        self.batch = executable.artifact.inputs[0].shape[0]

    def logits(self, x: Tensor) -> np.ndarray:
        arrays = np.ascontiguousarray(x.numpy())
        # The graph has a fixed batch: the last one is filled up, and what is added is cut off
        # again.
        filler = -len(arrays) % self.batch
        if filler:
            arrays = np.concatenate([arrays, np.zeros_like(arrays[:1]).repeat(filler, axis=0)])
        parts = [
            self.executable(np.ascontiguousarray(arrays[start : start + self.batch]))[0]
            for start in range(0, len(arrays), self.batch)
        ]
        return np.concatenate(parts)[: len(x)]
