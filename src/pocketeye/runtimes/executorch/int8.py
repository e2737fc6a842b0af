"""Quantise a program for XNNPACK by torchao's PT2E flow: static, int8 weights per channel."""

from __future__ import annotations

import torch

from pocketeye.runtimes._calibration import calibration_batches
from pocketeye.runtimes.base import ExportRequest


def quantize(
    program: torch.export.ExportedProgram, request: ExportRequest
) -> torch.export.ExportedProgram:
    """Return the quantised program, with ranges from the calibration of the request."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True)
    prepared = prepare_pt2e(program.module(), XNNPACKQuantizer().set_global(config))
    for arrays in calibration_batches(request):
        prepared(*(torch.from_numpy(array) for array in arrays))
    converted = convert_pt2e(prepared)
    return torch.export.export(converted, request.example_inputs, strict=False)
