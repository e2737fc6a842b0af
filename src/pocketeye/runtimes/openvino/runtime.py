"""Run networks by OpenVINO on the CPU.

An artefact is OpenVINO's IR: ``model.xml`` (the graph) and ``model.bin`` (its weights), converted from
ONNX. All precisions compute in float32 where they compute in float: OpenVINO would take bfloat16 by
itself where the processor has it, which is another network. ``fp16`` stores the weights in 16 bits, half
the size, and ``int8`` is static quantisation by NNCF (:mod:`pocketeye.runtimes.openvino.int8`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import openvino as ov

from pocketeye.outputs import scratch_folder, temporary_files_in
from pocketeye.quiet import quiet
from pocketeye.runtimes._store import (
    check_precision,
    eval_mode,
    run_module,
    store,
    tensor_specs,
)
from pocketeye.runtimes.base import Artifact, ExportRequest, Precision, Runtime
from pocketeye.runtimes.onnx.convnet import UnsupportedModule
from pocketeye.runtimes.onnx.exporter import export_onnx
from pocketeye.runtimes.onnx.lowering import lower
from pocketeye.runtimes.onnx.writer import OPSET, write_fp32
from pocketeye.runtimes.openvino import int8
from pocketeye.runtimes.openvino.executable import MODULES, OpenVinoExecutable, config, load
from pocketeye.runtimes.openvino.reading import modules_of, read_onnx

FILE, WEIGHTS = "model.xml", "model.bin"


class OpenVinoRuntime(Runtime):
    """Export to OpenVINO's IR and run it with its CPU plugin."""

    name: ClassVar[str] = "openvino"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")

    def version(self) -> str:
        # ``2026.4.1-22982-…``: the release, as PyPI has it.
        return str(ov.__version__).split("-", 1)[0]

    def flags(self) -> dict[str, Any]:
        return {**config(), "denormals_as_zero": True, "opset": OPSET}

    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """See :class:`Runtime`.

        A graph ``for_timing`` is written in milliseconds where the fast ONNX writer knows its
        operations. Its ends are floats in every precision: NNCF has no other.

        Raises:
            InvalidValue: an unknown precision, or an operator that OpenVINO does not have.
            MissingExtra: int8 without NNCF.
        """
        check_precision(self, request.precision)
        # NNCF may be missing: said before seconds of exporting.
        if request.precision == "int8":
            int8.load_nncf()
        module, example = request.module, request.example_inputs
        extra: dict[str, Any] = {}
        with eval_mode(module):
            artifact = Artifact(
                folder=folder,
                file=FILE,
                runtime=self.name,
                precision=request.precision,
                inputs=tensor_specs(request.input_names, example),
                outputs=tensor_specs(request.output_names, run_module(module, example)),
                parts=(WEIGHTS,),
                extra=extra,
            )

            def write(path: Path) -> None:
                with scratch_folder(path.parent) as scratch, temporary_files_in(scratch):
                    source = scratch / "model.onnx"
                    _write_onnx(request, source)
                    model = read_onnx(source)
                    # Known only now; the manifest is written after this.
                    extra[MODULES] = modules_of(model, source)
                    if request.precision == "int8":
                        model = int8.quantize(model, request)
                    _save(model, path, half=request.precision == "fp16")

            return store(artifact, write)

    def load(self, artifact: Artifact, *, threads: int = 1) -> OpenVinoExecutable:
        """See :class:`Runtime`.

        Raises:
            MissingFile: a file is gone. InvalidValue: one is damaged, or threads below 1.
        """
        return load(artifact, threads=threads)


def _write_onnx(request: ExportRequest, path: Path) -> None:
    if not request.for_timing:
        export_onnx(request, path)
        return
    try:
        net = lower(request.module, [tuple(t.shape) for t in request.example_inputs])
    except UnsupportedModule:
        export_onnx(request, path)
        return
    model = write_fp32(net, list(request.input_names), list(request.output_names))
    path.write_bytes(model.SerializeToString())


def _save(model: ov.Model, path: Path, *, half: bool) -> None:
    try:
        with quiet():
            ov.save_model(model, path, compress_to_fp16=half)
    except RuntimeError as error:
        # OpenVINO says no more of a full disk than that a file cannot be written.
        raise OSError(None, str(error).strip().splitlines()[-1]) from error
