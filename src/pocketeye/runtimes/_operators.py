"""Find the layer of a network that an operator of its exported graph comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import fx

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def layer_of_node(node: fx.Node) -> str | None:
    """Return the path of the innermost module that a node lies in; None where it is not noted."""
    stack = node.meta.get("nn_module_stack")
    if not stack:
        return None
    path, _ = list(stack.values())[-1]
    # torch.export calls the network itself L['self'], and writes paths below it with or without.
    return str(path).removeprefix("L['self']").removeprefix(".")


def mentioned_operator(
    program: torch.export.ExportedProgram, message: str
) -> tuple[str | None, str | None]:
    """Return the first operator of a program that a message names, and its layer.

    Converters say ``aten.linalg_det.default``, ``aten::linalg_det`` or ``linalg_det``.
    """
    words = {word.lstrip("_") for word in _WORD.findall(message)}
    for node in _calls(program.graph):
        name = base_name(node)
        # Short common words, as "add", may stand in any sentence: the qualified form must be there.
        if name in words and re.search(rf"(aten[.:]+|'|\")_?{re.escape(name)}\b", message):
            return name, layer_of_node(node)
    return None, None


def base_name(node: fx.Node) -> str:
    """Return ``linalg_det`` of a node that calls ``aten.linalg_det.default``."""
    schema = getattr(node.target, "_schema", None)
    name = schema.name if schema is not None else str(node.target)
    return str(name).rsplit("::", 1)[-1].split(".")[0]


def _calls(graph: fx.Graph) -> Iterable[fx.Node]:
    return (node for node in graph.nodes if node.op == "call_function")
