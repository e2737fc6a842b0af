"""Quantise the products of a transformer to 8 bits, with ranges taken from every input anew.

Weights are int8 with a scale per output channel, activations uint8 with the range that they have. What
is between the products (norms, softmax, sums) stays in float: static ranges, which a convolutional
network bears, ruin attention (relative error of a ViT-tiny 0.49 in place of 0.04).

Products with a constant are ONNX Runtime's own ``quantize_dynamic``. Queries times keys is done here:
its ``MatMulConstBOnly=False`` makes *unsigned* bytes of the keys, for which ONNX Runtime has no VNNI
kernel. On an Intel Xeon (family 6, model 207, one thread) a product of 1024 queries and 7264 keys of 256
channels takes 31 ms in float, 32 ms in unsigned and 12 ms in signed bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pocketeye.quiet import quiet
from pocketeye.runtimes.onnx.passes import constants_of, replace_nodes

# Below these a product is over before its operands are quantised.
_FEWEST_ROWS, _FEWEST_WEIGHTS, _FEWEST_KEYS = 64, 1 << 13, 512
_LARGEST_BYTE = 127  # symmetric: -128 stays unused, and no zero point is needed
_TINY = 1e-12  # scale of keys that are all zero
Shapes = dict[str, tuple[int, ...]]


def quantize_dynamically(source: Path, target: Path) -> None:
    """Write ``target``: ``source`` with its large products in 8 bits."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = source.with_name("prepared.onnx")
    with quiet():
        # All shapes are static: there are no symbols to infer.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        small = list(_small_products(model))
        compare_in_bytes(model)
        quantize_dynamic(
            model,
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=QuantType.QInt8,
            # One scale for all would be that of the largest channel.
            per_channel=True,
            # The quantiser makes a product of each Gemm, under another name.
            nodes_to_exclude=[*small, *(f"{name}_MatMul" for name in small)],
        )


def compare_in_bytes(model: onnx.ModelProto) -> int:
    """Compute products with transposed activations, as of queries and keys, in 8 bits; return how many.

    Shapes must be inferred already.
    """
    graph, shapes = model.graph, _shapes(model)
    producers = {name: node for node in graph.node for name in node.output}
    fixed = constants_of(graph)
    made: dict[int, list[onnx.NodeProto]] = {}
    keys: dict[str, list[str]] = {}
    for place, node in enumerate(graph.node):
        turned = producers.get(node.input[1]) if node.op_type == "MatMul" else None
        if turned is None or not _swaps_last(turned) or node.input[0] in fixed:
            continue
        (*_, num_rows, _), (*_, num_keys) = shapes[node.input[0]], shapes[node.input[1]]
        if num_rows < _FEWEST_ROWS or num_keys < _FEWEST_KEYS:
            continue
        nodes = list[onnx.NodeProto]()
        if node.input[1] not in keys:
            # Queries come in pieces, which share their keys.
            keys[node.input[1]], prepared = _in_signed_bytes(turned, node.input[1])
            nodes += prepared
        made[place] = [*nodes, *_product(node, *keys[node.input[1]])]
    if made:
        for name, value in (
            ("largest_byte", np.asarray(1 / _LARGEST_BYTE, np.float32)),
            ("tiny_scale", np.asarray(_TINY, np.float32)),
            ("zero_of_bytes", np.asarray(0, np.int8)),
        ):
            graph.initializer.append(numpy_helper.from_array(value, name))
        replace_nodes(graph, made)
    return len(made)


def _in_signed_bytes(turned: onnx.NodeProto, name: str) -> tuple[list[str], list[onnx.NodeProto]]:
    """Return the names of transposed keys in int8 and their scale, and what computes them."""
    source, bytes_, scale = turned.input[0], f"{name}_bytes", f"{name}_scale"
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("ReduceMax", [source], f"{name}_most", {"keepdims": 0}),
        ("ReduceMin", [source], f"{name}_least", {"keepdims": 0}),
        ("Neg", [f"{name}_least"], f"{name}_depth", {}),
        ("Max", [f"{name}_most", f"{name}_depth", "tiny_scale"], f"{name}_reach", {}),
        ("Mul", [f"{name}_reach", "largest_byte"], scale, {}),
        ("QuantizeLinear", [source, scale, "zero_of_bytes"], f"{name}_rows", {}),
    ]
    nodes = [
        helper.make_node(op, inputs, [output], name=f"{output}_node", **attributes)
        for op, inputs, output, attributes in steps
    ]
    # Turned as bytes: a quarter of what floats would move.
    perm = next(list(a.ints) for a in turned.attribute if a.name == "perm")
    nodes.append(
        helper.make_node("Transpose", [f"{name}_rows"], [bytes_], name=f"{bytes_}_node", perm=perm)
    )
    return [bytes_, scale], nodes


def _product(node: onnx.NodeProto, keys: str, scale: str) -> Iterator[onnx.NodeProto]:
    """Yield what ONNX Runtime puts together to one kernel, in standard operators."""
    base = node.output[0]
    parts = [f"{base}_query", f"{base}_query_scale", f"{base}_query_zero"]
    steps: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("DynamicQuantizeLinear", [node.input[0]], parts, {}),
        ("MatMulInteger", [parts[0], keys, parts[2], "zero_of_bytes"], [f"{base}_sums"], {}),
        ("Cast", [f"{base}_sums"], [f"{base}_float"], {"to": TensorProto.FLOAT}),
        ("Mul", [parts[1], scale], [f"{base}_scale"], {}),
        ("Mul", [f"{base}_float", f"{base}_scale"], [base], {}),
    ]
    for op, inputs, outputs, attributes in steps:
        yield helper.make_node(op, inputs, outputs, name=f"{outputs[0]}_node", **attributes)


def _swaps_last(node: onnx.NodeProto) -> bool:
    """Tell whether a node exchanges the last two axes, and no others."""
    if node.op_type != "Transpose":
        return False
    perm = next((list(a.ints) for a in node.attribute if a.name == "perm"), [])
    last = len(perm) - 1
    return last > 0 and perm == [*range(last - 1), last, last - 1]


def _small_products(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the names of products with constants that stay in float."""
    shapes, fixed = _shapes(model), constants_of(model.graph)
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm") and node.input[1] in fixed:
            num_rows = int(np.prod(shapes[node.input[0]][:-1]))
            if num_rows < _FEWEST_ROWS or fixed[node.input[1]].size < _FEWEST_WEIGHTS:
                yield node.name


def _shapes(model: onnx.ModelProto) -> Shapes:
    graph = model.graph
    found: Shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        found[value.name] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
    return found
