"""Write int8 ONNX fast: static QDQ straight from one calibration pass in torch.

Activations are uint8 with a zero point, weights int8 per output channel, biases int32, in the
pattern ONNX Runtime fuses into QLinear kernels. A ReLU disappears: quantising its output with zero
point 0 clips just the same (and that of a ReLU6 at 6, or at the largest value it has). Shuffle and
flatten move bytes and stay in uint8.

An additive attention block runs in integers throughout: its gates (sigmoid and product), and its GELUs
as :func:`pocketeye.runtimes.onnx.passes.tabulate_gelu` writes them, in exported networks too. Measured
against that (CPU time of the block, µs; AMD EPYC with AVX-512, ONNX Runtime 1.32, one thread, medians of
24 interleaved rounds; error of the output for random weights):

=======================  ===========  ==============  ==============
block                    integers     gates in float  GELUs in float
=======================  ===========  ==============  ==============
``add_e4:112>112/1@14``  198, 1.97 %  210, 1.97 %     214, 1.95 %
``add_e4:184>184/1@7``   140, 1.99 %  147, 1.99 %     149, 1.96 %
=======================  ===========  ==============  ==============

With ``boundary="quantized"`` a graph begins and ends as the middle of a whole int8 network does: uint8,
and channels last for maps, because ONNX Runtime computes its int8 convolutions in that layout and would
otherwise transpose at both ends of every block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto

from pocketeye.runtimes.base import Boundary
from pocketeye.runtimes.onnx.convnet import Conv, ConvNet, Gemm, Shape, Shuffle, Simple, Step
from pocketeye.runtimes.onnx.passes import tabulate_gelu
from pocketeye.runtimes.onnx.writer import GraphBuilder, conv_attributes, value_infos

_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def boundary_shape(shape: Shape, boundary: Boundary) -> Shape:
    """Return the shape that a value of this (N, C, H, W) or (N, C) shape has as an input or output."""
    if boundary == "float" or len(shape) != 4:
        return shape
    return tuple(shape[i] for i in _TO_NHWC)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantParams:
    """Hold ``real = scale * (stored - zero_point)``, stored in 0…255."""

    scale: float
    zero_point: int

    @classmethod
    def of(cls, low: float, high: float) -> QuantParams:
        """Return parameters that cover [low, high] and represent zero exactly."""
        # A range without zero would make zero padding a value that bytes cannot hold.
        low, high = min(low, 0.0), max(high, 0.0)
        # As the graph stores it, in float32; 1 for a tensor that is zero throughout.
        scale = float(np.float32((high - low) / 255)) or 1.0
        return cls(scale=scale, zero_point=round(-low / scale))


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Model:
    """Hold a model and the quantisation of its inputs and outputs, in order."""

    model: onnx.ModelProto
    inputs: tuple[QuantParams, ...]
    outputs: tuple[QuantParams, ...]


def write_int8(
    net: ConvNet,
    ranges: Mapping[str, tuple[float, float]],
    input_names: Sequence[str],
    output_names: Sequence[str],
    boundary: Boundary,
) -> Int8Model:
    """Write the network as static QDQ ONNX.

    ``ranges`` comes from :func:`pocketeye.runtimes.onnx.convnet.value_ranges`. With
    ``boundary="quantized"`` inputs and outputs are uint8, as between the layers of a whole int8 network.
    """
    writer = _Writer(_fuse_relu(net), ranges)
    return writer.write(input_names, output_names, boundary)


def _fuse_relu(net: ConvNet) -> ConvNet:
    """Drop every ReLU (or ReLU6) that is the only reader of a step that gets quantised anyway."""
    uses, producers = net.uses(), {step.name: step for step in net.steps}
    merged: dict[str, str] = {}
    for step in net.steps:
        if step.op in (Simple(kind="Relu"), Simple(kind="Relu6")):
            source = producers.get(step.inputs[0])
            # Another reader would want the values below zero.
            if source is not None and uses[source.name] == 1 and _requantises(source):
                merged[source.name] = step.name
    dropped = set(merged.values())
    steps = [
        replace(step, name=merged.get(step.name, step.name))
        for step in net.steps
        if step.name not in dropped
    ]
    return replace(net, steps=tuple(steps))


def _requantises(step: Step) -> bool:
    # What these compute gets a scale of its own; others hand on the scale of their source.
    return isinstance(step.op, Conv | Gemm) or step.op == Simple(kind="Add")


class _Writer:
    def __init__(self, net: ConvNet, ranges: Mapping[str, tuple[float, float]]) -> None:
        self.net, self.ranges = net, ranges
        self.builder = GraphBuilder()
        self.params: dict[str, QuantParams] = {}
        self.stored: dict[str, str] = {}

    def write(self, inputs: Sequence[str], outputs: Sequence[str], boundary: Boundary) -> Int8Model:
        net, builder = self.net, self.builder
        for name, value in zip(inputs, net.inputs, strict=True):
            self._params(value, QuantParams.of(*self.ranges[value]))
            if boundary == "float":
                self.stored[value] = self._quantize(value, name)
            elif len(net.shapes[value]) == 4:
                self.stored[value] = builder.add("Transpose", [name], f"{value}_u8", perm=_TO_NCHW)
            else:
                self.stored[value] = name
        for step in net.steps:
            self._step(step)
        for name, value in zip(outputs, net.outputs, strict=True):
            if boundary == "float":
                self._dequantize(value, name)
            elif len(net.shapes[value]) == 4:
                builder.add("Transpose", [self.stored[value]], name, perm=_TO_NHWC)
            else:
                builder.add("Identity", [self.stored[value]], name)
        dtype = TensorProto.UINT8 if boundary == "quantized" else TensorProto.FLOAT
        shapes = [boundary_shape(net.shapes[v], boundary) for v in (*net.inputs, *net.outputs)]
        model = builder.model(
            value_infos(inputs, shapes[: len(inputs)], dtype),
            value_infos(outputs, shapes[len(inputs) :], dtype),
        )
        # Exact GELU would leave the integers: see the table above.
        tabulate_gelu(model)
        return Int8Model(
            model=model,
            inputs=tuple(self.params[value] for value in net.inputs),
            outputs=tuple(self.params[value] for value in net.outputs),
        )

    def _step(self, step: Step) -> None:
        name, op, source = step.name, step.op, step.inputs[0]
        if isinstance(op, Shuffle) or op == Simple(kind="Flatten"):
            # Scale and zero point of the source hold on: its own constants are used again.
            self.params[name] = self.params[source]
            for part in ("scale", "zero"):
                self.stored[f"{name}_{part}"] = self.stored[f"{source}_{part}"]
            if isinstance(op, Shuffle):
                stored = self.builder.shuffle(
                    f"{name}_u8", self.stored[source], step.shape, op.groups
                )
            else:
                stored = self.builder.add("Flatten", [self.stored[source]], f"{name}_u8")
            self.stored[name] = stored
            return
        self._params(name, QuantParams.of(*self.ranges[name]))
        inputs = [self._dequantize(i, f"{name}_in{n}") for n, i in enumerate(step.inputs)]
        if isinstance(op, Simple):
            result = self.builder.simple(op.kind, inputs, f"{name}_f32")
        else:
            result = self._weighted(name, op, inputs[0], self.params[source])
        self.stored[name] = self._quantize(name, result)

    def _weighted(self, name: str, op: Conv | Gemm, source: str, params: QuantParams) -> str:
        weight, scale, bias = quantize_weight(op.weight, op.bias, params.scale)
        scales = self.builder.constant(f"{name}_wscale", scale)
        bias_scales = self.builder.constant(f"{name}_bscale", scale * np.float32(params.scale))
        zeros = self.builder.constant(f"{name}_wzero", np.zeros(len(scale), np.int8))
        bias_zeros = self.builder.constant(f"{name}_bzero", np.zeros(len(scale), np.int32))
        stored = self.builder.constant(f"{name}_weight", weight)
        stored_bias = self.builder.constant(f"{name}_bias", bias)
        w = self.builder.add("DequantizeLinear", [stored, scales, zeros], f"{name}_w", axis=0)
        b = self.builder.add(
            "DequantizeLinear", [stored_bias, bias_scales, bias_zeros], f"{name}_b", axis=0
        )
        inputs, output = [source, w, b], f"{name}_f32"
        if isinstance(op, Gemm):
            return self.builder.add("Gemm", inputs, output, transB=1)
        return self.builder.add("Conv", inputs, output, **conv_attributes(op))

    def _params(self, value: str, params: QuantParams) -> None:
        self.params[value] = params
        scale, zero = np.float32(params.scale), np.uint8(params.zero_point)
        self.stored[f"{value}_scale"] = self.builder.constant(f"{value}_scale", np.array(scale))
        self.stored[f"{value}_zero"] = self.builder.constant(f"{value}_zero", np.array(zero))

    def _quantize(self, value: str, source: str) -> str:
        constants = [self.stored[f"{value}_scale"], self.stored[f"{value}_zero"]]
        return self.builder.add("QuantizeLinear", [source, *constants], f"{value}_u8")

    def _dequantize(self, value: str, output: str) -> str:
        constants = [self.stored[f"{value}_scale"], self.stored[f"{value}_zero"]]
        return self.builder.add("DequantizeLinear", [self.stored[value], *constants], output)


def quantize_weight(
    weight: np.ndarray, bias: np.ndarray, input_scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give int8 weight, scale per output channel (axis 0), and the int32 bias that fits them."""
    flat = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    # 127 and not 128: a symmetric range needs no zero point, and -128 stays unused.
    scale = np.maximum(flat / 127, 1e-9)
    # A channel that is (almost) dead must not push its bias out of the range of int32.
    scale = np.maximum(scale, np.abs(bias) / (input_scale * 2**30)).astype(np.float32)
    # Output channels come first in convolutions and in linear layers alike.
    shape = (-1,) + (1,) * (weight.ndim - 1)
    stored = np.clip(np.rint(weight / scale.reshape(shape)), -127, 127).astype(np.int8)
    # The scale of a bias is that of the products it is added to: the kernel adds integers.
    stored_bias = np.rint(bias.astype(np.float64) / (scale.astype(np.float64) * input_scale))
    return stored, scale, stored_bias.astype(np.int32)
