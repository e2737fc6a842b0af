"""Write any module as ONNX by PyTorch's own exporter, and say which layer an operator comes from."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path

import onnx
import torch

from pocketeye.runtimes.base import ExportRequest
from pocketeye.runtimes.onnx.writer import OPSET

# Where the exporter notes, for every node, the modules it lies in, from the outermost inwards.
_SCOPES = "pkg.torch.onnx.name_scopes"


def export_onnx(request: ExportRequest, path: Path) -> None:
    """Write the module of a request, in its present mode, as one ONNX file; takes seconds.

    Raises:
        OSError: it cannot be written.
    """
    with warnings.catch_warnings():
        # Deprecations inside the exporter are not the user's business.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            request.module,
            request.example_inputs,
            path,
            dynamo=True,  # the exporter that is maintained; the older one is deprecated
            external_data=False,  # one file: a browser fetches no second one
            opset_version=OPSET,
            verbose=False,
            input_names=list(request.input_names),
            output_names=list(request.output_names),
        )


def layer_of(model: onnx.ModelProto, op_type: str) -> str | None:
    """Return the path of the module that the first operator of a type lies in; None where unknown."""
    for node in model.graph.node:
        if node.op_type != op_type:
            continue
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get(_SCOPES, "")
        try:
            # The last entry is the operator itself, the one before the module that called it.
            names = [str(name) for name in ast.literal_eval(scopes)]
        except (SyntaxError, ValueError, TypeError):
            return None
        return next((name for name in reversed(names[:-1]) if name), None)
    return None
