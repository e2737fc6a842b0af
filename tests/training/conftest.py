from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn

from pocketeye.data import ImageSet, load_images
from tests.conftest import coarse_figures


class TinyNet(nn.Module):
    """Two convolutions with BN and dropout: everything that has a state or draws numbers."""

    def __init__(self, in_chans: int = 1, num_classes: int = 10) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.drop_rate = 0.0
        self.features = nn.Sequential(
            nn.Conv2d(in_chans, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        )  # fmt: skip
        self.classifier = nn.Linear(16, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x).mean((2, 3))
        x = nn.functional.dropout(x, 0.1, training=self.training)
        return self.classifier(x)


def tiny_net(seed: int = 0, **kwargs: int) -> TinyNet:
    torch.manual_seed(seed)
    return TinyNet(**kwargs)


@pytest.fixture(scope="module", autouse=True)
def _figures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Figures are coarse but in modules that test them."""
    with nullcontext() if getattr(request.module, "FIGURES", False) else coarse_figures():
        yield


@pytest.fixture(scope="session")
def digits() -> tuple[ImageSet, ImageSet]:
    """256 and 101 digits."""
    train, val = load_images("digits"), load_images("digits", "val")
    return train.subset(np.arange(256)), val.subset(np.arange(101))
