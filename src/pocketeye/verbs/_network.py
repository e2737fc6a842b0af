"""From what the user typed (a name, an ``architecture.json``, a run folder) to a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, create_model, load_checkpoint

_WEIGHTS = "best.safetensors"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network in eval mode and what it expects: ``input_shape`` is ``(C, H, W)``."""

    name: str
    module: nn.Module
    input_shape: tuple[int, int, int]
    architecture: Architecture | None
    trained: bool

    @property
    def input_size(self) -> int:
        return self.input_shape[-1]

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
) -> Network:
    """Make the network, on the CPU and in eval mode; random weights are those of seed 0.

    Raises:
        InvalidValue, MissingFile: as :func:`pocketeye.create_model` and ``load_checkpoint``; or an
            input size below 1.
    """
    if input_size is not None and input_size < 1:
        raise InvalidValue(f"the input size must be at least 1 pixel, not {input_size}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = create_model(model, pretrained=pretrained)
    if checkpoint is not None:
        load_checkpoint(module, checkpoint)
    path = Path(model)
    return Network(
        name=_name_of(model, path),
        module=module.eval(),
        input_shape=_input_shape(module, input_size),
        architecture=_architecture(module, input_size),
        trained=pretrained or checkpoint is not None or (path / _WEIGHTS).is_file(),
    )


def _name_of(model: str, path: Path) -> str:
    if path.is_dir():
        return path.resolve().name
    return path.resolve().parent.name if path.name == "architecture.json" else path.stem


def _architecture(module: nn.Module, input_size: int | None) -> Architecture | None:
    architecture: Any = getattr(module, "architecture", None)
    if not isinstance(architecture, Architecture):
        return None
    return architecture.with_(input_size=input_size)


def _input_shape(module: nn.Module, input_size: int | None) -> tuple[int, int, int]:
    architecture = _architecture(module, input_size)
    if architecture is not None:
        return architecture.in_chans, architecture.input_size, architecture.input_size
    cfg: Any = getattr(module, "pretrained_cfg", None) or {}
    channels, height, _ = cfg.get("input_size", (3, 224, 224))
    # The stem knows best how many channels it takes: in_chans may have been overridden.
    stem = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    size = input_size or height
    return stem.in_channels if stem is not None else channels, size, size
