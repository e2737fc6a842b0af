"""Turn a module into a :class:`ConvNet`.

:func:`lower` traces a module with torch.fx and folds every BatchNorm into the convolution before it
(eval mode, in float64). Only what FBNet and CAS-ViT's additive blocks are made of is known; anything
else raises :class:`UnsupportedModule` and belongs to the general exporter. A BatchNorm *before* a
convolution is for the network's own ``fuse()``, which knows where no padding lies between the two.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from timm.layers import Conv2dSame, DropPath, SelectAdaptivePool2d
from torch import fx, nn
from torch.nn import functional as F

from pocketeye.errors import InvalidValue
from pocketeye.layers import ChannelShuffle, fold_after
from pocketeye.runtimes._store import eval_mode
from pocketeye.runtimes.onnx.convnet import (
    Conv,
    ConvNet,
    Gemm,
    Op,
    Shape,
    Shuffle,
    Simple,
    Step,
    UnsupportedModule,
)

_CONVS = (nn.Conv2d, Conv2dSame)
_ELEMENTWISE = {nn.Sigmoid: "Sigmoid", nn.GELU: "Gelu"}


class _Tracer(fx.Tracer):
    # Leaves: their own operations (reshape, pooling by configuration) are known here as one step.
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaves = (ChannelShuffle, Conv2dSame, SelectAdaptivePool2d, DropPath)
        return isinstance(m, leaves) or super().is_leaf_module(m, module_qualified_name)


def lower(module: nn.Module, input_shapes: Sequence[Shape]) -> ConvNet:
    """Trace ``module`` for inputs of these shapes, as it behaves in eval mode.

    Raises:
        UnsupportedModule: an operation that is not known here.
    """
    with eval_mode(module):
        # The wrapper makes a single torch.nn module, which fx would trace into, a leaf.
        root = nn.Sequential(module) if len(input_shapes) == 1 else module
        try:
            graph = _Tracer().trace(root)
        except fx.proxy.TraceError as error:
            raise UnsupportedModule(
                f"control flow that depends on the input ({type(module).__name__})"
            ) from error
        return _Lowering(fx.GraphModule(root, graph), input_shapes).net()


class _Lowering:
    """Visit the nodes of a traced module in order, and list their operations."""

    def __init__(self, module: fx.GraphModule, input_shapes: Sequence[Shape]) -> None:
        self.module = module
        self.modules = dict(module.named_modules())
        self.alias: dict[fx.Node, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.steps: list[Step] = []
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self.pending = list(input_shapes)

    def net(self) -> ConvNet:
        for node in self.module.graph.nodes:
            self._visit(node)
        return ConvNet(
            module=self.module,
            inputs=tuple(self.inputs),
            steps=tuple(self.steps),
            outputs=tuple(self.outputs),
            shapes=self.shapes,
        )

    def _visit(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            if not self.pending:
                raise UnsupportedModule(f"the optional input {node.name!r}")
            self.inputs.append(node.name)
            self.shapes[node.name] = self.pending.pop(0)
            self.alias[node] = node.name
        elif node.op == "output":
            self._output(node.args[0])
        elif node.op == "call_module":
            self._module(node, self.modules[str(node.target)])
        elif node.op in ("call_function", "call_method"):
            self._function(node)
        else:
            raise UnsupportedModule(f"the bare parameter {node.target!r}")

    def _output(self, result: Any) -> None:
        values = result if isinstance(result, tuple | list) else (result,)
        for value in values:
            if not isinstance(value, fx.Node):
                raise UnsupportedModule(f"an output of the type {type(value).__name__}")
            self.outputs.append(self.alias[value])

    def _emit(self, node: fx.Node, op: Op, inputs: Sequence[fx.Node], shape: Shape) -> None:
        self._step(node.name, op, tuple(self.alias[i] for i in inputs), shape)
        self.alias[node] = node.name

    def _step(self, name: str, op: Op, inputs: tuple[str, ...], shape: Shape) -> None:
        self.steps.append(Step(name=name, op=op, inputs=inputs, shape=shape))
        self.shapes[name] = shape

    def _same(self, node: fx.Node) -> None:
        self.alias[node] = self.alias[_only(node)]

    def _module(self, node: fx.Node, m: nn.Module) -> None:
        # Exact types: other subclasses of Conv2d and Linear usually compute something else.
        if isinstance(m, nn.Conv2d) and type(m) in _CONVS:
            if _folded_into(node, self.modules) is None:
                self._conv(node, _only(node), m, None)
            return
        source = _only(node)
        if type(m) is nn.BatchNorm2d:
            conv = self.modules.get(str(source.target)) if source.op == "call_module" else None
            own = type(conv) in _CONVS and _folded_into(source, self.modules) is node
            if not isinstance(conv, nn.Conv2d) or not own:
                raise UnsupportedModule(f"the BatchNorm2d {node.target!r} without its own Conv2d")
            self._conv(node, _only(source), conv, m)
        # All of them do nothing in eval mode.
        elif isinstance(m, nn.Identity | nn.Dropout | nn.Dropout2d | DropPath):
            self._same(node)
        elif type(m) is nn.ReLU:
            self._relu(node, inplace=m.inplace)
        elif type(m) is nn.ReLU6:
            self._emit(node, Simple(kind="Relu6"), [source], self._shape(source))
        elif type(m) is nn.Hardswish:
            self._emit(node, Simple(kind="HardSwish"), [source], self._shape(source))
        elif type(m) is nn.Sigmoid or (type(m) is nn.GELU and m.approximate == "none"):
            self._emit(node, Simple(kind=_ELEMENTWISE[type(m)]), [source], self._shape(source))
        elif isinstance(m, ChannelShuffle):
            shape = self._shape(source)
            self._emit(node, Shuffle(groups=m.groups), [source], shape)
        elif type(m) is nn.Linear:
            self._linear(node, m)
        elif type(m) is nn.Flatten and (m.start_dim, m.end_dim) == (1, -1):
            self._flatten(node)
        elif _is_global_pool(m):
            self._pool(node, flatten=_flattens(m))
        else:
            raise UnsupportedModule(f"{type(m).__name__} ({node.target!r})")

    def _function(self, node: fx.Node) -> None:
        target: Callable[..., Any] | str = node.target
        # Every spelling of a sum: `a + b`, `torch.add`, `a.add(b)`, `a += b`.
        if target in (operator.add, torch.add, "add", operator.iadd, "add_"):
            self._add(node, inplace=target in (operator.iadd, "add_"))
        # The shapes broadcast: a gate has one value per pixel or per channel.
        elif target in (operator.mul, torch.mul, "mul"):
            self._mul(node)
        elif target in (F.relu, torch.relu, "relu", "relu_", torch.relu_, F.relu_):
            inplace = target in ("relu_", torch.relu_, F.relu_) or bool(node.kwargs.get("inplace"))
            self._relu(node, inplace=inplace)
        elif target in (torch.flatten, "flatten"):
            dims = [*node.args[1:], *node.kwargs.values()]
            if dims not in ([1], [1, -1]):
                raise UnsupportedModule(f"flatten with the dimensions {dims}")
            self._flatten(node)
        # Traced in eval mode, the flag is a constant; a dropout that always drops is refused.
        elif target is F.dropout and node.kwargs.get("training") is False:
            self._same(node)
        elif target is F.adaptive_avg_pool2d and node.args[1:] in ((1,), ((1, 1),)):
            self._pool(node, flatten=False)
        else:
            name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise UnsupportedModule(f"the function {name!r}")

    def _shape(self, node: fx.Node) -> Shape:
        return self.shapes[self.alias[node]]

    def _conv(
        self, node: fx.Node, source: fx.Node, m: nn.Conv2d, norm: nn.BatchNorm2d | None
    ) -> None:
        # Other paddings would be nodes of their own; "same" may be uneven.
        if m.padding_mode != "zeros" or isinstance(m.padding, str):
            raise UnsupportedModule(f"Conv2d with {m.padding_mode} padding {m.padding!r}")
        n, channels, *sides = self._shape(source)
        # fx runs nothing, so that a wrong input would first be found by the runtime.
        if channels != m.in_channels:
            raise InvalidValue(
                f"{node.name!r} expects {m.in_channels} channels, got {channels}: wrong input"
            )
        before, after, out = list(_pair(m.padding)), list(_pair(m.padding)), []
        # The output size of a convolution, as PyTorch documents it.
        for i, side in enumerate(sides):
            reach = m.dilation[i] * (m.kernel_size[i] - 1) + 1
            if type(m) is Conv2dSame:
                missing = max((-(-side // m.stride[i]) - 1) * m.stride[i] + reach - side, 0)
                # TensorFlow pads the odd pixel behind the map.
                before[i], after[i] = missing // 2, missing - missing // 2
            out.append((side + before[i] + after[i] - reach) // m.stride[i] + 1)
        if norm is not None and (norm.running_mean is None or norm.running_var is None):
            raise UnsupportedModule("BatchNorm2d without running statistics")
        weight, bias = _values(m if norm is None else fold_after(m, norm))
        op = Conv(
            weight=weight,
            bias=bias,
            stride=_pair(m.stride),
            padding=(before[0], before[1]),
            padding_end=(after[0], after[1]),
            dilation=_pair(m.dilation),
            groups=m.groups,
        )
        self._emit(node, op, [source], (n, m.out_channels, *out))

    def _linear(self, node: fx.Node, m: nn.Linear) -> None:
        source = _only(node)
        shape = self._shape(source)
        # Gemm takes matrices; a linear layer over pixels would be another operator.
        if len(shape) != 2:
            raise UnsupportedModule(f"Linear on {len(shape)} dimensions ({node.target!r})")
        weight, bias = _values(m)
        self._emit(node, Gemm(weight=weight, bias=bias), [source], (shape[0], m.out_features))

    def _relu(self, node: fx.Node, *, inplace: bool) -> None:
        source = _only(node)
        if inplace:
            _refuse_shared(source)
        self._emit(node, Simple(kind="Relu"), [source], self._shape(source))

    def _add(self, node: fx.Node, *, inplace: bool) -> None:
        left, right = _operands(node, "a sum")
        if self._shape(left) != self._shape(right):
            raise UnsupportedModule("a sum of different shapes")
        if inplace:
            _refuse_shared(left)
        self._emit(node, Simple(kind="Add"), [left, right], self._shape(left))

    def _mul(self, node: fx.Node) -> None:
        left, right = _operands(node, "a product")
        shape = np.broadcast_shapes(self._shape(left), self._shape(right))
        self._emit(node, Simple(kind="Mul"), [left, right], shape)

    def _flatten(self, node: fx.Node) -> None:
        source = _only(node)
        n, *rest = self._shape(source)
        self._emit(node, Simple(kind="Flatten"), [source], (n, int(np.prod(rest))))

    def _pool(self, node: fx.Node, *, flatten: bool) -> None:
        source = _only(node)
        n, channels, *_ = self._shape(source)
        if not flatten:
            self._emit(node, Simple(kind="GlobalAveragePool"), [source], (n, channels, 1, 1))
            return
        pooled, op = f"{node.name}_pooled", Simple(kind="GlobalAveragePool")
        self._step(pooled, op, (self.alias[source],), (n, channels, 1, 1))
        self._step(node.name, Simple(kind="Flatten"), (pooled,), (n, channels))
        self.alias[node] = node.name


def _values(layer: nn.Conv2d | nn.Linear) -> tuple[np.ndarray, np.ndarray]:
    """Return weight and bias as float32."""
    weight = layer.weight.detach().float().cpu().numpy()
    if layer.bias is None:
        return weight, np.zeros(len(weight), np.float32)
    return weight, layer.bias.detach().float().cpu().numpy()


def _operands(node: fx.Node, what: str) -> tuple[fx.Node, fx.Node]:
    left, right = node.args if len(node.args) == 2 else (None, None)
    if not isinstance(left, fx.Node) or not isinstance(right, fx.Node) or node.kwargs:
        raise UnsupportedModule(f"{what} with a constant")
    return left, right


def _only(node: fx.Node) -> fx.Node:
    (source,) = node.all_input_nodes
    return source


def _pair(value: Sequence[int]) -> tuple[int, int]:
    first, second = value
    return first, second


def _folded_into(conv: fx.Node, modules: dict[str, nn.Module]) -> fx.Node | None:
    """Return the BatchNorm that is the only reader of ``conv``, if there is one."""
    users = list(conv.users)
    if len(users) != 1 or users[0].op != "call_module":
        return None
    return users[0] if type(modules[str(users[0].target)]) is nn.BatchNorm2d else None


def _refuse_shared(node: fx.Node) -> None:
    # Written in place while someone else reads it: order would decide the result.
    if len(node.users) > 1:
        raise UnsupportedModule(f"an in-place operation on the shared value {node.name!r}")


def _is_global_pool(m: nn.Module) -> bool:
    if type(m) is nn.AdaptiveAvgPool2d:
        return m.output_size in (1, (1, 1))
    return isinstance(m, SelectAdaptivePool2d) and m.pool_type == "avg"


def _flattens(m: nn.Module) -> bool:
    return isinstance(m, SelectAdaptivePool2d) and isinstance(m.flatten, nn.Flatten)
