"""Write any module as ONNX by PyTorch's own exporter."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from pocketeye.runtimes.base import ExportRequest
from pocketeye.runtimes.onnx.writer import OPSET


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
