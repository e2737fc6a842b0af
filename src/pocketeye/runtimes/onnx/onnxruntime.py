"""Run networks by ONNX Runtime on the CPU: the default runtime.

A latency depends on the settings in :meth:`OnnxRuntime.flags`; they are part of every record. Static
int8 is QDQ with uint8 activations and int8 per-channel weights (int8 activations run partly in float on
x86), where GELU becomes a table look-up (:mod:`pocketeye.runtimes.onnx.passes`); dynamic int8 is that of
:mod:`pocketeye.runtimes.onnx.dynamic_int8`. fp16 stores the weights in 16 bits, half the size, and
computes as fp32 does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime as ort
import torch

from pocketeye.errors import InvalidValue
from pocketeye.outputs import scratch_folder, temporary_files_in
from pocketeye.quiet import quiet
from pocketeye.runs import sha256_of
from pocketeye.runtimes._calibration import calibration_batches
from pocketeye.runtimes._store import (
    SHA256,
    check_precision,
    eval_mode,
    run_module,
    store,
    tensor_specs,
)
from pocketeye.runtimes.base import (
    Artifact,
    Boundary,
    ExportRequest,
    Precision,
    Runtime,
    TensorSpec,
)
from pocketeye.runtimes.onnx.convnet import ConvNet, value_ranges
from pocketeye.runtimes.onnx.dynamic_int8 import quantize_dynamically
from pocketeye.runtimes.onnx.executable import NAME, OrtExecutable, load, session_flags
from pocketeye.runtimes.onnx.exporter import export_onnx
from pocketeye.runtimes.onnx.int8 import Int8Model, boundary_shape, write_int8
from pocketeye.runtimes.onnx.lowering import lower
from pocketeye.runtimes.onnx.passes import answer_in_float, pool_globally, tabulate_gelu
from pocketeye.runtimes.onnx.shared import SHARED, WEIGHTS
from pocketeye.runtimes.onnx.weights import halve, share
from pocketeye.runtimes.onnx.writer import OPSET, write_fp32

FILE = "model.onnx"


class OnnxRuntime(Runtime):
    """Export to ``model.onnx`` and run it with ONNX Runtime's CPU provider."""

    name: ClassVar[str] = NAME
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    dynamic_int8: ClassVar[bool] = True

    def version(self) -> str:
        return str(ort.__version__)

    def flags(self) -> dict[str, Any]:
        return {**session_flags(), "opset": OPSET}

    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """See :class:`Runtime`.

        Any module that torch.onnx can export takes seconds; one ``for_timing`` is written node by node
        in milliseconds. With ``boundary="quantized"`` its inputs and outputs are uint8 and maps
        (N, H, W, C): the shapes are in ``artifact.inputs`` and ``outputs``, scale and zero point in
        ``artifact.extra["quantization"]``.

        Raises:
            UnsupportedModule: an operation that the fast writer does not know.
            InvalidValue: an unknown precision, or quantised ends of a graph that cannot have them.
        """
        check_precision(self, request.precision)
        if request.for_timing:
            return self._write_fast(request, folder)
        # The exporter's graph is for users, who have floats.
        if request.boundary != "float":
            raise InvalidValue("quantised inputs and outputs are only for graphs that are timed")
        example, names = request.example_inputs, list(request.input_names)
        with eval_mode(request.module):
            computed = run_module(request.module, example)
            outputs = tensor_specs(request.output_names, computed)
            inputs = tensor_specs(names, example)

            def write(path: Path) -> None:
                if request.precision == "fp32":
                    export_onnx(request, path)
                    return
                if request.precision == "fp16":
                    export_onnx(request, path)
                    model = onnx.load(path)
                    halve(model)
                    onnx.save(model, path)
                    return
                with scratch_folder(path.parent) as scratch, temporary_files_in(scratch):
                    source = scratch / "fp32.onnx"
                    export_onnx(request, source)
                    if request.ranges == "dynamic":
                        quantize_dynamically(source, path)
                    else:
                        _quantize(source, path, request)

            return store(self._artifact(folder, request.precision, inputs, outputs, {}), write)

    def _write_fast(self, request: ExportRequest, folder: Path) -> Artifact:
        precision, boundary, example = request.precision, request.boundary, request.example_inputs
        if boundary not in ("float", "quantized") or (
            boundary == "quantized" and precision != "int8"
        ):
            raise InvalidValue(
                f"boundary={boundary!r} is not possible in {precision}: quantized needs int8"
            )
        net = lower(request.module, [tuple(t.shape) for t in example])
        inputs, outputs = _names("image", net.inputs), _names("logits", net.outputs)
        extra: dict[str, Any] = {"boundary": boundary}
        if precision != "int8":
            model = write_fp32(net, inputs, outputs)
            if precision == "fp16":
                halve(model)
        else:
            arrays = calibration_batches(request)
            batches = (tuple(torch.from_numpy(array) for array in one) for one in arrays)
            written = write_int8(net, value_ranges(net, batches), inputs, outputs, boundary)
            model, extra["quantization"] = written.model, _describe(written, inputs, outputs)
        artifact = self._artifact(
            folder,
            precision,
            _specs(inputs, net.inputs, net, boundary),
            _specs(outputs, net.outputs, net, boundary),
            extra,
        )
        data = model.SerializeToString()
        return store(artifact, lambda path: path.write_bytes(data))

    def share_weights(self, artifacts: Sequence[Artifact], folder: Path) -> bool:
        """See :class:`Runtime`; the file is ``weights.bin``."""
        tables = share([artifact.path for artifact in artifacts], folder / WEIGHTS)
        for artifact, table in zip(artifacts, tables, strict=True):
            extra = {SHARED: {"above": artifact.folder != folder, "table": table},
                     SHA256: sha256_of(artifact.path)}  # fmt: skip
            replace(artifact, extra={**artifact.extra, **extra}).save()
        return True

    def load(self, artifact: Artifact, *, threads: int = 1) -> OrtExecutable:
        """See :class:`Runtime`.

        Raises:
            MissingFile: the file is gone. InvalidValue: it is damaged, or threads below 1.
        """
        return load(artifact, threads=threads)

    def _artifact(
        self,
        folder: Path,
        precision: Precision,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        extra: dict[str, Any],
    ) -> Artifact:
        return Artifact(
            folder=folder,
            file=FILE,
            runtime=self.name,
            precision=precision,
            inputs=inputs,
            outputs=outputs,
            extra={"opset": OPSET, **extra},
        )


def _names(base: str, values: Sequence[str]) -> list[str]:
    return [base] if len(values) == 1 else [f"{base}{i}" for i in range(len(values))]


def _specs(
    names: Sequence[str], values: Sequence[str], net: ConvNet, boundary: Boundary
) -> tuple[TensorSpec, ...]:
    dtype = "uint8" if boundary == "quantized" else "float32"
    return tuple(
        TensorSpec(name=name, shape=boundary_shape(net.shapes[value], boundary), dtype=dtype)
        for name, value in zip(names, values, strict=True)
    )


def _describe(written: Int8Model, inputs: list[str], outputs: list[str]) -> dict[str, Any]:
    names, params = [*inputs, *outputs], [*written.inputs, *written.outputs]
    return {name: asdict(p) for name, p in zip(names, params, strict=True)}


def _quantize(source: Path, target: Path, request: ExportRequest) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = source.with_name("prepared.onnx")
    # The quantiser warns of every weight without an output channel.
    with quiet():
        # All shapes are static: there are no symbols to infer.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        # Before quantisation, which then sees an operator that has an int8 kernel.
        pool_globally(model)
        quantize_static(
            model,
            target,
            _Reader(request),
            quant_format=QuantFormat.QDQ,
            # uint8: with int8 activations ONNX Runtime computes part of a network in float on x86.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # One scale for a layer would be that of its largest channel: depthwise ones differ widely.
            per_channel=True,
        )
    quantized = onnx.load(target)
    if tabulate_gelu(quantized) + answer_in_float(quantized):
        onnx.save(quantized, target)


class _Reader:
    """Feed calibration tuples to onnxruntime's quantiser."""

    def __init__(self, request: ExportRequest) -> None:
        self.names, self.batches = list(request.input_names), calibration_batches(request)

    def get_next(self) -> dict[str, np.ndarray] | None:
        arrays = next(self.batches, None)
        return None if arrays is None else dict(zip(self.names, arrays, strict=True))
