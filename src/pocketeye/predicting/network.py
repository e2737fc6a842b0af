"""From what the user typed (a name, an ``architecture.json``, a run folder) to a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, create_model, load_checkpoint
from pocketeye.models.bundled import located
from pocketeye.models.size import Size, sides
from pocketeye.predicting.info import FILE as MODEL_FILE
from pocketeye.predicting.info import ModelInfo
from pocketeye.predicting.predictor import info_of

_WEIGHTS = "best.safetensors"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network in eval mode and what it expects of its images (``info``).

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
        """``(C, H, W)``."""
        return self.info.in_chans, *sides(self.own_size or self.input_size)

    def example(self) -> torch.Tensor:
        """One input of the right shape, seeded noise: ``(1, C, H, W)``."""
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
    """Make the network, on the CPU and in eval mode; random weights are those of seed 0.

    The name of a run that comes along (:mod:`pocketeye.models.bundled`) is as good as a run folder.

    A run folder says itself how its network sees images; of others the usual is assumed.

    Args:
        any_shape: keep the input of an architecture that is no square.

    Raises:
        InvalidValue, MissingFile: as :func:`pocketeye.create_model` and ``load_checkpoint``; or an
            input size below 1.
    """
    model = located(model)
    if input_size is not None and input_size < 1:
        raise InvalidValue(f"the input size must be at least 1 pixel, not {input_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = create_model(model, pretrained=pretrained)
    if checkpoint is not None:
        load_checkpoint(module, checkpoint)
    path = Path(model)
    name = _name_of(model, path)
    described = path.is_dir() and (path / MODEL_FILE).is_file()
    own: Any = getattr(module, "architecture", None)
    own_size = None
    if any_shape and input_size is None and not described and isinstance(own, Architecture):
        own_size = own.input_size
        input_size = max(sides(own_size))
    info = ModelInfo.load(path) if described else _usual(module, name, input_size)
    size = input_size or info.input_size
    return Network(
        name=name,
        module=module.eval(),
        info=replace(info, input_size=size),
        architecture=_architecture(module, own_size or size),
        trained=pretrained or checkpoint is not None or (path / _WEIGHTS).is_file(),
        own_size=own_size,
    )


def _name_of(model: str, path: Path) -> str:
    if path.is_dir():
        return path.resolve().name
    return path.resolve().parent.name if path.name == "architecture.json" else path.stem


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
