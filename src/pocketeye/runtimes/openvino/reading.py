"""Read ONNX into OpenVINO, and name the operator and the layer where that is not possible."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import openvino as ov

from pocketeye.runtimes.errors import missing_operator
from pocketeye.runtimes.onnx.exporter import layer_of

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
        # The names of operators that the message mentions, in the order of the graph.
        kinds = list(dict.fromkeys(n.op_type for n in graph.graph.node if n.op_type in said))
        op = kinds[0] if kinds else None
        raise missing_operator(
            "openvino", op, layer_of(graph, op) if op else None, str(error)
        ) from error
    return model
