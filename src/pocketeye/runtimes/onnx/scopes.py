"""Tell from which module of the network an operator of an ONNX graph came.

Runtimes fuse and rename operators. torch's exporter leaves the path of the module at each node, int8
and our own fast writer do not; the names of weights (``stages.0.blocks.0.mlp.fc1.weight``) say it then.
An operator without either belongs to the module whose result it reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import onnx

_SCOPES = "pkg.torch.onnx.name_scopes"
# What ONNX Runtime adds to the name of a node (or of its output) that it fuses or lays out anew.
_ADDED = re.compile(r"(_nchwc|_token_\d+|_quant|_fused|_nhwc)+$")
# Operators that a runtime makes one of, from the last back to the first (Conv, Sigmoid, Mul).
_MOST_FUSED = 4
# Of a weight's name: everything behind the module's path.
_WEIGHT = re.compile(r"\.(weight|bias|running_mean|running_var|gamma|layer_scale)([._].*)?$")


class NodeModules:
    """Know the module paths of a graph's nodes, by the names a runtime gives to its operators."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._modules: dict[str, str] = {}  # by the output of each node
        self._nodes: dict[str, onnx.NodeProto] = {}  # by name and by output
        weights = {tensor.name for tensor in model.graph.initializer}
        for node in model.graph.node:
            found = _said(node) or _of_weights(node, weights)
            if found is None:
                found = next((m for name in node.input if (m := self._modules.get(name))), "")
            for output in node.output:
                self._modules[output] = found
                self._nodes[output] = node
            self._nodes[node.name] = node

    def of(self, name: str, op: str = "") -> str:
        """Return the path of an operator's module, such as ``stages.0.blocks.1.attn``.

        Args:
            name: that the runtime gives to the operator.
            op: what it computes. A fused operator is called after its last part: with ``Conv`` the
                module is that of the convolution and not of the activation behind it.

        Returns:
            The path; empty where it is not known.
        """
        node = next((self._nodes[known] for known in _shorter(name) if known in self._nodes), None)
        if node is None:
            return ""
        return self._modules[self._first_part(node, op).output[0]]

    def _first_part(self, node: onnx.NodeProto, op: str) -> onnx.NodeProto:
        part: onnx.NodeProto | None = node
        for _ in range(_MOST_FUSED):
            if part is None or part.op_type in op:
                break
            part = next((self._nodes[name] for name in part.input if name in self._nodes), None)
        return node if part is None or part.op_type not in op else part


def _shorter(name: str) -> Iterator[str]:
    yield name
    while (cut := _ADDED.sub("", name)) != name:
        name = cut
        yield name


def _said(node: onnx.NodeProto) -> str | None:
    """Return the path that torch's exporter left; None where it left none."""
    for entry in node.metadata_props:
        if entry.key == _SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
            except (ValueError, SyntaxError):
                return None
            # The last entry is the operator itself, those before it are modules within modules.
            return next((str(scope) for scope in reversed(scopes[:-1]) if scope), None)
    return None


def _of_weights(node: onnx.NodeProto, weights: set[str]) -> str | None:
    for name in (*node.input, *node.output):
        match = _WEIGHT.search(name)
        if match and (name in weights or name.removesuffix("_DequantizeLinear_Output") != name):
            return name[: match.start()]
    return None
