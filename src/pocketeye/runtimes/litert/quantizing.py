"""Store a network of LiteRT in 16 bits, or quantise it to int8, by the AI Edge quantizer."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from pocketeye.errors import MissingExtra
from pocketeye.quiet import quiet
from pocketeye.runtimes._calibration import calibration_batches
from pocketeye.runtimes.base import ExportRequest

_SIGNATURE = "serving_default"  # of a network that was converted without a name of its own
_EVERYWHERE = ".*"


def _packages() -> tuple[Any, Any, Any]:
    try:
        return (
            import_module("ai_edge_quantizer.quantizer"),
            import_module("ai_edge_quantizer.qtyping"),
            import_module("ai_edge_quantizer.algorithm_manager"),
        )
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "int8 and fp16 of the runtime 'litert'", "ai-edge-quantizer", "litert"
        ) from error


def to_half(data: bytes) -> bytes:
    """Return the network with its weights in float16."""
    with quiet(native=True):
        quantizing, kinds, algorithms = _packages()
        quantizer = quantizing.Quantizer(bytearray(data))
        quantizer.add_weight_only_config(
            _EVERYWHERE,
            kinds.TFLOperationName.ALL_SUPPORTED,
            num_bits=16,
            algorithm_key=algorithms.AlgorithmName.FLOAT_CASTING,
        )
        return bytes(quantizer.quantize(enable_progress_report=False).quantized_model)


def to_int8(data: bytes, request: ExportRequest) -> bytes:
    """Return the network in static int8, with ranges from the calibration of the request."""
    with quiet(native=True):
        quantizing, kinds, algorithms = _packages()
        quantizer = quantizing.Quantizer(bytearray(data))
        names = kinds.TFLOperationName
        quantizer.add_static_config(
            _EVERYWHERE, names.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
        )
        # Users have floats: the quantisation of the ends is part of the graph.
        for end in (names.INPUT, names.OUTPUT):
            quantizer.update_quantization_recipe(
                _EVERYWHERE, end, algorithm_key=algorithms.AlgorithmName.NO_QUANTIZE
            )
        # As many as there are cores by default, each with a copy of the network.
        batches = [_named(arrays) for arrays in calibration_batches(request)]
        ranges = quantizer.calibrate({_SIGNATURE: batches}, num_threads=1)
        return bytes(quantizer.quantize(ranges, enable_progress_report=False).quantized_model)


def _named(arrays: tuple[np.ndarray, ...]) -> dict[str, np.ndarray]:
    return {f"args_{number}": array for number, array in enumerate(arrays)}
