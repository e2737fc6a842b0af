"""Rewrite an ONNX graph where its runtime does not do so by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

# Phi(x) is nearest to sigmoid(k x) with this k: 0.0095 off at most, and x Phi(x) 0.0203.
GELU_SLOPE = 1.702
_SIGMOID_SCALE, _SIGMOID_ZERO = "gelu_sigmoid_scale", "gelu_sigmoid_zero"


def pool_globally(model: onnx.ModelProto) -> int:
    """Turn means over both sides of a map into ``GlobalAveragePool``; return how many.

    Shapes must be inferred already (a map is known by its four dimensions).

    The exporter writes ``ReduceMean``, for which ONNX Runtime has no int8 kernel: each would cost a
    trip to float and back.
    """
    graph, constants = model.graph, constants_of(model.graph)
    ranks = {v.name: len(v.type.tensor_type.shape.dim) for v in (*graph.value_info, *graph.input)}

    def rewrite(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        source, (output,) = node.input[0], node.output
        if _attribute(node, "keepdims", 1):
            yield helper.make_node("GlobalAveragePool", [source], [output], name=node.name)
            return
        pooled = f"{output}_pooled"
        yield helper.make_node("GlobalAveragePool", [source], [pooled], name=node.name)
        yield helper.make_node("Flatten", [pooled], [output], name=f"{node.name}_flatten")

    def is_global(node: onnx.NodeProto) -> bool:
        axes = constants.get(node.input[1]) if len(node.input) > 1 else None
        rank = ranks.get(node.input[0])  # the exporter counts axes from either end
        return axes is not None and rank == 4 and sorted(int(a) % 4 for a in axes) == [2, 3]

    made = {
        place: list(rewrite(node))
        for place, node in enumerate(graph.node)
        if node.op_type == "ReduceMean" and is_global(node)
    }
    replace_nodes(graph, made)
    _drop_unused_constants(graph)
    return len(made)


def tabulate_gelu(model: onnx.ModelProto) -> int:
    """Compute ``Gelu`` of a QDQ graph as ``x * sigmoid(1.702 x)`` in 8 bits; return how many.

    ONNX Runtime has a table look-up for a quantised sigmoid and none for GELU, which it computes in
    float between a dequantisation and a quantisation. The factor 1.702 costs nothing: it is put into
    the scale of the sigmoid's input. The approximation is 0.0203 off at most, about one step of an
    8-bit activation that reaches to 5.
    """
    graph, constants = model.graph, constants_of(model.graph)
    producers = {name: node for node in graph.node for name in node.output}
    made: dict[int, list[onnx.NodeProto]] = {}
    for place, node in enumerate(graph.node):
        source = producers.get(node.input[0]) if node.op_type == "Gelu" else None
        if source is None or source.op_type != "DequantizeLinear":
            continue
        scale = constants.get(source.input[1])
        if scale is None or scale.ndim:
            continue
        steeper = f"{node.output[0]}_steeper_scale"
        value = np.asarray(scale * GELU_SLOPE, np.float32)
        graph.initializer.append(numpy_helper.from_array(value, steeper))
        made[place] = list(_sigmoid_gelu(node, source, steeper))
    if made:
        for name, constant in (
            # Sigmoid ends below 1, so 1/256 is the step that uses all bytes.
            (_SIGMOID_SCALE, np.asarray(1 / 256, np.float32)),
            (_SIGMOID_ZERO, np.asarray(0, np.uint8)),
        ):
            graph.initializer.append(numpy_helper.from_array(constant, name))
    replace_nodes(graph, made)
    return len(made)


def answer_in_float(model: onnx.ModelProto) -> int:
    """Take the quantisation off outputs of a QDQ graph that are products; return how many.

    The range of the answers is that of the calibration images. Logits above it, as of images that the
    network is surer of, would all become its end, and the first of them the answer. ONNX Runtime's
    integer products (``QGemm``) give float as quickly, which its integer convolutions cannot.
    """
    graph = model.graph
    producers = {name: place for place, node in enumerate(graph.node) for name in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    made: dict[int, list[onnx.NodeProto]] = {}
    for output in graph.output:
        places, name = list[int](), output.name
        for kinds in (("DequantizeLinear",), ("QuantizeLinear",), ("Gemm", "MatMul")):
            place = producers.get(name, -1)
            readers = 1 if places else 0  # nodes that are dropped must have no other reader
            if place < 0 or graph.node[place].op_type not in kinds or uses[name] > readers:
                break
            places.append(place)
            name = graph.node[place].input[0]
        else:
            answer = _copied(graph.node[places[-1]])
            answer.output[0] = output.name
            made |= {places[0]: [], places[1]: [], places[2]: [answer]}
    replace_nodes(graph, made)
    _drop_unused_constants(graph)
    return len(made) // 3


def _sigmoid_gelu(
    gelu: onnx.NodeProto, dequantize: onnx.NodeProto, steeper: str
) -> Iterator[onnx.NodeProto]:
    base = gelu.output[0]
    stored, zero = dequantize.input[0], dequantize.input[2:]
    params = [_SIGMOID_SCALE, _SIGMOID_ZERO]
    for op, inputs, output in (
        ("DequantizeLinear", [stored, steeper, *zero], f"{base}_steeper"),
        ("Sigmoid", [f"{base}_steeper"], f"{base}_sigmoid"),
        ("QuantizeLinear", [f"{base}_sigmoid", *params], f"{base}_sigmoid_u8"),
        ("DequantizeLinear", [f"{base}_sigmoid_u8", *params], f"{base}_gate"),
        ("Mul", [gelu.input[0], f"{base}_gate"], base),
    ):
        yield helper.make_node(op, inputs, [output], name=f"{output}_node")


def constants_of(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return the values that a graph holds by name."""
    found = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), default)


def replace_nodes(graph: onnx.GraphProto, made: dict[int, list[onnx.NodeProto]]) -> None:
    """Put ``made[place]`` where the node at ``place`` stands."""
    nodes = [new for n, node in enumerate(graph.node) for new in made.get(n, [_copied(node)])]
    del graph.node[:]
    graph.node.extend(nodes)


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    # A node taken from a graph dies with the graph's list.
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _drop_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    used |= {output.name for output in graph.output}
    nodes = [_copied(n) for n in graph.node if n.op_type != "Constant" or n.output[0] in used]
    constants = [i for i in graph.initializer if i.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
