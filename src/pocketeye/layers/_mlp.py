"""A multi-layer perceptron, as SAM's decoder and the plain ViT use it."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from pocketeye.layers._products import Act, Linear, by_onednn, hidden_layer

_FUSED: dict[type[nn.Module], Act] = {nn.ReLU: "relu", nn.GELU: "gelu"}  # that oneDNN knows


class MLP(nn.Module):
    """Apply linear layers of the given widths with an activation between them (none after the last).

    Args:
        dims: widths from input to output, ``(256, 1024, 256)`` for one hidden layer.
        act_layer: the activation.
    """

    def __init__(self, *dims: int, act_layer: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(a, b) for a, b in itertools.pairwise(dims))
        self.act = act_layer()

    def forward(self, x: Tensor) -> Tensor:
        fused = _FUSED.get(type(self.act))
        # One hidden layer is one call, so that its wide middle never leaves the cache.
        if fused is not None and len(self.layers) == 2 and by_onednn(x):
            first, second = self.layers
            assert isinstance(first, nn.Linear)
            assert isinstance(second, nn.Linear)
            return hidden_layer(x, first, second, fused)
        for layer in self.layers[:-1]:
            x = self.act(layer(x))
        return self.layers[-1](x)
