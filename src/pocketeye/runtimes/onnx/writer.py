"""Write ONNX fast: plain convolutional networks node by node, in milliseconds.

The general exporter takes a second for one block; a latency table has two hundred of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from pocketeye.runs import write_atomic
from pocketeye.runtimes.onnx.convnet import (
    Conv,
    ConvNet,
    Gemm,
    Shape,
    Shuffle,
    Simple,
    Step,
    UnsupportedModule as UnsupportedModule,
)
from pocketeye.runtimes.onnx.lowering import lower

# Opset 20 is the first with Gelu as an operator of its own: below, the exporter writes Erf and
# products that ONNX Runtime does not fuse, a tenth slower in CAS-ViT.
OPSET, IR_VERSION = 20, 10


class GraphBuilder:
    """Collect nodes and initializers of one ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Append a node of one output and return the output's name."""
        node = helper.make_node(op_type, inputs, [output], name=output, **attributes)
        self.nodes.append(node)
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """Append an initializer and return its name."""
        # Not ascontiguousarray: it gives a scalar one dimension, and ORT fuses scalar scales only.
        self.initializers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def simple(self, kind: str, inputs: Sequence[str], output: str) -> str:
        """Append an operation without parameters, by its ONNX name or as ``Relu6``."""
        if kind != "Relu6":
            return self.add(kind, inputs, output)
        ends = [
            self.constant(f"{output}_{n}", np.array(v, np.float32))
            for n, v in (("min", 0), ("max", 6))
        ]
        return self.add("Clip", [*inputs, *ends], output)

    def shuffle(self, name: str, source: str, shape: Shape, groups: int) -> str:
        """Append a channel shuffle (reshape, transpose, reshape) for any element type."""
        n, c, h, w = shape
        split = np.array([n, groups, c // groups, h, w], np.int64)
        grouped = self.add("Reshape", [source, self.constant(f"{name}_split", split)], f"{name}_g")
        turned = self.add("Transpose", [grouped], f"{name}_t", perm=[0, 2, 1, 3, 4])
        joined = self.constant(f"{name}_joined", np.array(shape, np.int64))
        return self.add("Reshape", [turned, joined], name)

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return the finished model."""
        graph = helper.make_graph(
            self.nodes, "network", list(inputs), list(outputs), self.initializers
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="pocketeye"
        )


def conv_attributes(op: Conv) -> dict[str, Any]:
    """Return the attributes of an ONNX Conv."""
    return {
        "kernel_shape": list(op.weight.shape[2:]),
        "strides": list(op.stride),
        "pads": [*op.padding, *op.padding_end],  # begin of each axis, then end of each
        "dilations": list(op.dilation),
        "group": op.groups,
    }


def value_infos(
    names: Sequence[str], shapes: Sequence[Shape], dtype: int = TensorProto.FLOAT
) -> list[onnx.ValueInfoProto]:
    """Declare inputs or outputs with their types."""
    return [
        helper.make_tensor_value_info(name, dtype, shape)
        for name, shape in zip(names, shapes, strict=True)
    ]


def write_fp32(
    net: ConvNet, input_names: Sequence[str], output_names: Sequence[str]
) -> onnx.ModelProto:
    """Write the network as float ONNX with static shapes."""
    builder = GraphBuilder()
    names = dict(zip(net.inputs, input_names, strict=True))
    for step in net.steps:
        names[step.name] = _fp32_step(builder, step, [names[i] for i in step.inputs])
    for output, value in zip(output_names, net.outputs, strict=True):
        # A copy of one number per element at most, and ORT removes it where it can.
        builder.add("Identity", [names[value]], output)
    return builder.model(
        value_infos(input_names, [net.shapes[v] for v in net.inputs]),
        value_infos(output_names, [net.shapes[v] for v in net.outputs]),
    )


def _fp32_step(builder: GraphBuilder, step: Step, inputs: list[str]) -> str:
    # Prefixed, so that no layer's name can meet the name of an input or output.
    name, op = f"t_{step.name}", step.op
    if isinstance(op, Simple):
        return builder.simple(op.kind, inputs, name)
    if isinstance(op, Shuffle):
        return builder.shuffle(name, inputs[0], step.shape, op.groups)
    weight = builder.constant(f"{name}_weight", op.weight)
    bias = builder.constant(f"{name}_bias", op.bias)
    if isinstance(op, Gemm):
        return builder.add("Gemm", [inputs[0], weight, bias], name, transB=1)
    return builder.add("Conv", [inputs[0], weight, bias], name, **conv_attributes(op))


def export_fast(module: nn.Module, example_input: torch.Tensor, path: Path) -> Path:
    """Write a plain convolutional network (one input, eval mode, static shape) to ``path``.

    Raises:
        UnsupportedModule: an operation that the fast writer does not know.
    """
    net = lower(module, [tuple(example_input.shape)])
    outputs = ["logits"] if len(net.outputs) == 1 else [f"out{i}" for i in range(len(net.outputs))]
    return write_atomic(path, write_fp32(net, ["image"], outputs).SerializeToString())
