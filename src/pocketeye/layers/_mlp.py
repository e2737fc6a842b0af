"""A multi-layer perceptron."""

from __future__ import annotations

import itertools

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers of the given widths with an activation between them (none after the last).

    Args:
        dims: widths from input to output, ``(256, 1024, 256)`` for one hidden layer.
        act_layer: the activation.
    """

    def __init__(self, *dims: int, act_layer: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(dims))
        self.act = act_layer()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        return self.layers[-1](x)
