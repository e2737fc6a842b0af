"""Run networks by LiteRT (TensorFlow Lite), whose XNNPACK delegate is what Android uses on the CPU.

An artefact is one file, ``model.tflite``. ``fp16`` stores the weights in 16 bits, half the size; the
delegate computes in float32. int8 is static: int8 activations, int8 weights per channel
(:mod:`pocketeye.runtimes.litert.quantizing`), with floats at both ends.
"""

from __future__ import annotations

from importlib import import_module, metadata
from pathlib import Path
from typing import Any, ClassVar

import torch

from pocketeye.errors import MissingExtra
from pocketeye.quiet import quiet
from pocketeye.runtimes._operators import mentioned_operator
from pocketeye.runtimes._store import (
    check_precision,
    eval_mode,
    run_module,
    store,
    tensor_specs,
)
from pocketeye.runtimes.base import Artifact, ExportRequest, Precision, Runtime
from pocketeye.runtimes.errors import missing_operator
from pocketeye.runtimes.litert.executable import LiteRTExecutable, load
from pocketeye.runtimes.litert.quantizing import to_half, to_int8

FILE = "model.tflite"


class LiteRTRuntime(Runtime):
    """Export to ``model.tflite`` and run it with LiteRT's interpreter."""

    name: ClassVar[str] = "litert"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")

    def version(self) -> str:
        return metadata.version("ai-edge-litert")

    def flags(self) -> dict[str, Any]:
        return {"delegate": "xnnpack", "denormals_as_zero": True}

    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """See :class:`Runtime`; there is one route, of about two seconds for a block.

        Raises:
            InvalidValue: an unknown precision, or an operator that LiteRT does not have.
            MissingExtra: the converter, which is a package of its own, is not installed.
        """
        check_precision(self, request.precision)
        module, example = request.module, request.example_inputs
        with eval_mode(module):
            artifact = Artifact(
                folder=folder,
                file=FILE,
                runtime=self.name,
                precision=request.precision,
                inputs=tensor_specs(request.input_names, example),
                outputs=tensor_specs(request.output_names, run_module(module, example)),
            )
            data = _converted(request)
        if request.precision == "fp16":
            data = to_half(data)
        elif request.precision == "int8":
            data = to_int8(data, request)
        return store(artifact, lambda path: path.write_bytes(data))

    def load(self, artifact: Artifact, *, threads: int = 1) -> LiteRTExecutable:
        """See :class:`Runtime`.

        Raises:
            MissingFile: the file is gone. InvalidValue: it is damaged, or threads below 1.
        """
        return load(artifact, threads=threads)


def _converted(request: ExportRequest) -> bytes:
    with torch.no_grad(), quiet(native=True):
        try:
            converter: Any = import_module("litert_torch")
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "exporting to the runtime 'litert'", "litert-torch", "litert"
            ) from error
        try:
            model = converter.convert(request.module, request.example_inputs)
        except Exception as error:  # its passes raise errors of many kinds
            program = torch.export.export(request.module, request.example_inputs, strict=False)
            operator, layer = mentioned_operator(program, str(error))
            raise missing_operator("litert", operator, layer, str(error)) from error
        return bytes(model.model_content())
