"""Run networks by ExecuTorch, whose XNNPACK delegate is what Android and iOS use on the CPU.

An artefact is one file, ``model.pte``. What XNNPACK does not take (layer norms, for example) runs on
ExecuTorch's portable kernels, which are slow and right. int8 is static: int8 activations with a zero
point, int8 weights per channel (:mod:`pocketeye.runtimes.executorch.int8`). Attention is exported as two
products and a softmax: ExecuTorch writes the fused form as a dozen operators that XNNPACK lacks, 1.4
times as slow for a ViT-tiny.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from pocketeye.quiet import quiet
from pocketeye.runtimes._operators import base_name, layer_of_node, mentioned_operator
from pocketeye.runtimes._store import (
    check_precision,
    check_stored,
    check_threads,
    eval_mode,
    run_module,
    store,
    tensor_specs,
)
from pocketeye.runtimes.base import Artifact, ExportRequest, Precision, Runtime
from pocketeye.runtimes.errors import missing_operator
from pocketeye.runtimes.executorch.executable import ExecuTorchExecutable, kernel_names
from pocketeye.runtimes.executorch.int8 import quantize

FILE = "model.pte"


class ExecuTorchRuntime(Runtime):
    """Export to ``model.pte`` and run it with the XNNPACK delegate."""

    name: ClassVar[str] = "executorch"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "int8")

    def version(self) -> str:
        return metadata.version("executorch")

    def flags(self) -> dict[str, Any]:
        return {"delegate": "xnnpack", "denormals_as_zero": True, "fused_attention": False}

    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """See :class:`Runtime`; there is one route, of about two seconds for a block.

        Raises:
            InvalidValue: an unknown precision, or an operator that ExecuTorch does not have.
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
            with torch.no_grad(), explicit_attention(module), quiet(native=True):
                data = _lowered(request)
        return store(artifact, lambda path: path.write_bytes(data))

    def load(self, artifact: Artifact, *, threads: int = 1) -> ExecuTorchExecutable:
        """See :class:`Runtime`.

        Raises:
            MissingFile: the file is gone. InvalidValue: it is damaged, or threads below 1.
        """
        check_threads(threads)
        check_stored(artifact, self)
        return ExecuTorchExecutable(artifact, threads)


@contextmanager
def explicit_attention(module: nn.Module) -> Iterator[None]:
    """Let every attention inside the block be written as two products and a softmax."""
    switched = [m for m in module.modules() if getattr(m, "fused_attn", False) is True]
    for attention in switched:
        attention.fused_attn = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for attention in switched:
            attention.fused_attn = True  # type: ignore[assignment]


def _lowered(request: ExportRequest) -> bytes:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(request.module, request.example_inputs, strict=False)
    if request.precision == "int8":
        program = quantize(program, request)
    try:
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        lowered = edge.to_executorch()
    except Exception as error:  # its passes raise errors of many kinds
        operator, layer = mentioned_operator(program, str(error))
        raise missing_operator("executorch", operator, layer, str(error)) from error
    _require_kernels(lowered.exported_program())
    return bytes(lowered.buffer)


def _require_kernels(program: torch.export.ExportedProgram) -> None:
    """Refuse a program with an operator that has no kernel: it could be written and not be loaded."""
    known = kernel_names()
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        if node.op != "call_function" or schema is None:
            continue
        name = f"{schema.name}.{schema.overload_name}".removesuffix(".")
        if name not in known:
            raise missing_operator("executorch", base_name(node), layer_of_node(node), name)
