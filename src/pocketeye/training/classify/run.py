"""Train a classifier from what a user names."""

from __future__ import annotations

from typing import Any

import torch

from pocketeye.data import ImageSet
from pocketeye.models import Architecture
from pocketeye.models.reference import ArchitectureFile, Run, resolve
from pocketeye.training.classify.fit import choose_input_size


def _input_size(model: str, module: torch.nn.Module, images: ImageSet) -> int:
    architecture: Any = getattr(module, "architecture", None)
    from_file = isinstance(resolve(model), ArchitectureFile | Run)
    if from_file and isinstance(architecture, Architecture):
        return architecture.side
    return choose_input_size(module, images)


def _name(model: str) -> str:
    """Of a file ``NAME/architecture.json`` the folder counts; a registered name is its own."""
    return resolve(model).name
