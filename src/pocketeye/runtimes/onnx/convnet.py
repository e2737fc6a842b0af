"""Describe plain convolutional networks as a list of operations: what the fast ONNX writers consume.

:func:`pocketeye.runtimes.onnx.lowering.lower` makes a :class:`ConvNet` of a module.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from pocketeye.errors import InvalidValue
from pocketeye.runtimes._store import eval_mode

Shape = tuple[int, ...]


class UnsupportedModule(InvalidValue):
    """Tell that the fast writer does not know an operation; the message names it."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the fast ONNX writer knows plain convolutional networks only, not {what}: "
            "use the exporter (OnnxRuntime.export)"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Conv:
    """A 2-D convolution: weight (O, I / groups, KH, KW) and bias (O,), BatchNorm folded in.

    ``padding`` stands before the map, (rows, columns), ``padding_end`` behind it.
    """

    weight: np.ndarray
    bias: np.ndarray
    stride: tuple[int, int]
    padding: tuple[int, int]
    padding_end: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gemm:
    """A fully connected layer: weight (O, I) and bias (O,)."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Shuffle:
    """A channel shuffle."""

    groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Simple:
    """An operation without parameters, by its ONNX name.

    Add and Mul (which broadcasts), Relu, Sigmoid, Gelu (exact), GlobalAveragePool, Flatten, Identity.
    """

    kind: str


Op = Conv | Gemm | Shuffle | Simple


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Compute ``name = op(*inputs)``; names are values of the torch.fx graph."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvNet:
    """Hold a traced network: steps in execution order.

    ``module`` is the torch.fx module whose values the steps are named after.
    """

    module: fx.GraphModule
    inputs: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, Shape]

    def uses(self) -> dict[str, int]:
        """Count how often each value is consumed, outputs of the network included."""
        counts = dict.fromkeys(self.shapes, 0)
        for name in (*(i for step in self.steps for i in step.inputs), *self.outputs):
            # An output counts as a reader: what it names must not be merged away.
            counts[name] += 1
        return counts


def value_ranges(
    net: ConvNet, batches: Iterable[Sequence[torch.Tensor]]
) -> dict[str, tuple[float, float]]:
    """Find the smallest and largest value of every tensor named in ``net.shapes``, over all batches."""
    recorder = _Recorder(net)
    with eval_mode(net.module), torch.inference_mode():
        for batch in batches:
            recorder.run(*batch)
    return recorder.ranges


class _Recorder(fx.Interpreter):
    """Run a traced network and note the range of each value."""

    def __init__(self, net: ConvNet) -> None:
        super().__init__(net.module)
        self.wanted = net.shapes.keys()
        self.ranges: dict[str, tuple[float, float]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        # A pooling that flattens is two steps in the list and one node here; both have the same range.
        for name in (n.name, f"{n.name}_pooled"):
            if name in self.wanted:
                low, high = (float(v) for v in torch.aminmax(value))
                old = self.ranges.get(name, (low, high))
                self.ranges[name] = (min(low, old[0]), max(high, old[1]))
        return value
