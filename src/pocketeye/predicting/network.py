"""Open a classifier or backbone from what the user typed, to look at it, export it or time it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, create_model, load_checkpoint
from pocketeye.models.input_size import require_size
from pocketeye.models.reference import ArchitectureFile, Named, Run, TimmName, resolve
from pocketeye.models.size import Size, sides
from pocketeye.predicting.info import ModelInfo
from pocketeye.predicting.open_predictor import info_of
from pocketeye.runs import BEST


@dataclass(frozen=True, kw_only=True)
class Network:
    """Hold a network in eval mode and what it expects of its images (``info``).

    ``own_size`` is that of an architecture whose input is no square, as of a segmenter's backbone.
    """

    name: str
    module: nn.Module
    info: ModelInfo
    architecture: Architecture | None
    trained: bool
    own_size: Size | None = None

    @property
    def input_size(self) -> int:
        return self.info.input_size

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return the shape of the input, ``(C, H, W)``."""
        return self.info.in_chans, *sides(self.own_size or self.input_size)

    # Noise will do: time and shapes do not depend on what an image shows.
    def example(self) -> torch.Tensor:
        """Make one input of the right shape, ``(1, C, H, W)``, of seeded noise."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(1, *self.input_shape, generator=generator)


def open_network(
    model: str,
    *,
    input_size: int | None = None,
    checkpoint: Path | None = None,
    pretrained: bool = False,
    any_shape: bool = False,
) -> Network:
    """Make a classifier or backbone on the CPU, in eval mode; random weights are those of seed 0.

    A run says itself how its network sees images; of others the usual is assumed.

    Args:
        model: as :func:`pocketeye.create_model` takes it.
        input_size: side of the image in pixels; the network's own by default.
        checkpoint: a file of weights.
        pretrained: fetch the published weights of a name.
        any_shape: keep the input of an architecture that is no square.

    Raises:
        InvalidValue, MissingFile: as :func:`pocketeye.create_model` and ``load_checkpoint``; or an
            input size below 1, or one that the network does not take.
    """
    if input_size is not None and input_size < 1:
        raise InvalidValue(f"the input size must be at least 1 pixel, not {input_size}")
    named = resolve(model)
    # The same network at every call, and nothing drawn from the user's generator.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = create_model(model, pretrained=pretrained)
    if checkpoint is not None:
        load_checkpoint(module, checkpoint)
    name = named.base if isinstance(named, Named | TimmName) else named.name
    own: Any = getattr(module, "architecture", None)
    own_size = None
    weights: Path | None = None
    if isinstance(named, Run):
        info = ModelInfo.load(named.folder)
        weights = named.folder / BEST
    else:
        if any_shape and input_size is None and isinstance(own, Architecture):
            # The classifier's info knows squares only: the longer side stands for it.
            own_size = own.input_size
            input_size = max(sides(own_size))
        info = _usual(module, name, input_size)
        if isinstance(named, ArchitectureFile):
            weights = named.weights
    size = input_size or info.input_size
    require_size(module, own_size or size, name)
    return Network(
        name=name,
        module=module.eval(),
        info=replace(info, input_size=size),
        architecture=_architecture(module, own_size or size),
        trained=pretrained or checkpoint is not None or (weights is not None and weights.is_file()),
        own_size=own_size,
    )


def _architecture(module: nn.Module, input_size: Size) -> Architecture | None:
    architecture: Any = getattr(module, "architecture", None)
    if not isinstance(architecture, Architecture):
        return None
    return architecture.with_(input_size=input_size)


def _usual(module: nn.Module, name: str, input_size: int | None) -> ModelInfo:
    info = info_of(module, name)
    architecture: Any = getattr(module, "architecture", None)
    if isinstance(architecture, Architecture) and input_size is None:
        return replace(info, input_size=architecture.side)
    return info
