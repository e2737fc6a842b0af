"""Quantise a network for OpenVINO by NNCF: static, int8 weights per channel, 8-bit activations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import openvino as ov

from pocketeye.errors import MissingExtra
from pocketeye.quiet import quiet
from pocketeye.runtimes._calibration import calibration_batches
from pocketeye.runtimes.base import ExportRequest


@contextmanager
def _no_telemetry() -> Iterator[None]:
    """Keep NNCF, which reads this when it is imported, from sending anything anywhere."""
    name = "NNCF_CI"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def load_nncf() -> Any:
    """Import NNCF, which takes seconds.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        with _no_telemetry(), quiet():
            return import_module("nncf")
    except ModuleNotFoundError as error:
        raise MissingExtra("int8 of the runtime 'openvino'", "nncf", "openvino") from error


def quantize(model: ov.Model, request: ExportRequest) -> ov.Model:
    """Return the quantised network, with ranges from the calibration of the request."""
    nncf = load_nncf()
    batches = [dict(enumerate(arrays)) for arrays in calibration_batches(request)]
    with quiet():
        quantized: ov.Model = nncf.quantize(
            model,
            nncf.Dataset(batches),
            # Activations of SiLU, GELU and Hardswish are not symmetric: "mixed" gives them a zero point.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches),
        )
    return quantized
