"""Read ONNX into OpenVINO, and name the operator and the layer where that is not possible."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import openvino as ov

from pocketeye.runtimes.errors import missing_operator
from pocketeye.runtimes.onnx.scopes import NodeModules

_WORD = re.compile(r"\w+")


def read_onnx(path: Path) -> ov.Model:
    """Read an ONNX file.

    Raises:
        InvalidValue: OpenVINO does not have one of its operators; the sentence names operator and layer.
    """
    core = ov.Core()
    try:
        model = core.read_model(path)
        # Some operators are only missed by the plugin that would run them.
        core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except (RuntimeError, ValueError) as error:
        graph = onnx.load(path)
        said = set(_WORD.findall(str(error)))
        # The first operator of the graph whose name the message mentions.
        node = next((node for node in graph.graph.node if node.op_type in said), None)
        op = node.op_type if node else None
        layer = NodeModules(graph).of(node.name, node.op_type) if node else None
        raise missing_operator("openvino", op, layer, str(error)) from error
    return model


def modules_of(model: ov.Model, path: Path) -> dict[str, str]:
    """Return the path of the module that each operator came from, as far as it is known.

    Args:
        path: of the ONNX file that the model was read from.
    """
    modules = NodeModules(onnx.load(path))
    found: dict[str, str] = {}
    for node in model.get_ordered_ops():
        name = node.get_friendly_name()
        # OpenVINO makes several operators of one and adds what each does: ``conv1/WithoutBiases``.
        module = modules.of(name.split("/")[0], node.get_type_name())
        if module and node.get_type_name() != "Constant":
            found[name] = module
    return found
