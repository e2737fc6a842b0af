"""Write networks for Core ML, by coremltools, which converts on any system; only a Mac can run them.

An artefact is the folder ``model.mlpackage`` (an ML Program for iOS 17 and macOS 14). ``fp32`` and
``fp16`` are the arithmetic that Core ML is asked for; the Neural Engine computes in float16 alone.
``int8`` has int8 weights per channel and float16 arithmetic: ranges of activations could only be found
by running the network, on a Mac.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import torch

from pocketeye.errors import InvalidValue
from pocketeye.quiet import quiet
from pocketeye.runtimes._operators import mentioned_operator
from pocketeye.runtimes._store import (
    check_precision,
    check_stored,
    check_threads,
    eval_mode,
    run_module,
    store,
    tensor_specs,
)
from pocketeye.runtimes.base import Artifact, Executable, ExportRequest, Precision, Runtime
from pocketeye.runtimes.errors import missing_operator

FILE = "model.mlpackage"
# Smaller weights stay as they are: a scale for each channel would be as large as what it saves.
_FEWEST_WEIGHTS = 512

with quiet(native=True):
    _tools: Any = import_module("coremltools")


class CoreMLRuntime(Runtime):
    """Export to ``model.mlpackage``; nothing runs it here."""

    name: ClassVar[str] = "coreml"
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
    runs_here: ClassVar[bool] = False

    def version(self) -> str:
        return str(_tools.__version__)

    def flags(self) -> dict[str, Any]:
        return {"format": "mlprogram", "minimum_deployment_target": "iOS17"}

    def export(self, request: ExportRequest, folder: Path) -> Artifact:
        """See :class:`Runtime`. Core ML's own names of inputs and outputs are in ``artifact.extra``.

        Raises:
            InvalidValue: an unknown precision, or an operator that Core ML does not have.
        """
        check_precision(self, request.precision)
        module, example = request.module, request.example_inputs
        with eval_mode(module):
            outputs = tensor_specs(request.output_names, run_module(module, example))
            with torch.no_grad(), quiet(native=True):
                package = _converted(request)
        description = package.get_spec().description
        artifact = Artifact(
            folder=folder,
            file=FILE,
            runtime=self.name,
            precision=request.precision,
            inputs=tensor_specs(request.input_names, example),
            outputs=outputs,
            extra={
                "input_names": [one.name for one in description.input],
                "output_names": [one.name for one in description.output],
            },
        )
        return store(artifact, lambda path: _save(package, path))

    def load(self, artifact: Artifact, *, threads: int = 1) -> Executable:
        """Refuse: Core ML is a part of macOS and iOS.

        Raises:
            MissingFile, InvalidValue: the artefact is damaged; or it is whole and cannot be run.
        """
        check_threads(threads)
        check_stored(artifact, self)
        raise InvalidValue(
            f"Core ML runs on a Mac or an iPhone, not here: copy {artifact.folder} to a Mac and run "
            "'python check.py' in it"
        )


def _converted(request: ExportRequest) -> Any:
    # Without decompositions Core ML meets operators of the training dialect, which it does not know.
    program = torch.export.export(request.module, request.example_inputs, strict=False)
    program = program.run_decompositions({})
    arithmetic = (
        _tools.precision.FLOAT32 if request.precision == "fp32" else _tools.precision.FLOAT16
    )
    try:
        package = _tools.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=_tools.target.iOS17,
            compute_precision=arithmetic,
            skip_model_load=True,  # there is nothing here that could load it
        )
    except Exception as error:  # its passes raise errors of many kinds
        operator, layer = mentioned_operator(program, str(error))
        raise missing_operator("coreml", operator, layer, str(error)) from error
    return _int8(package) if request.precision == "int8" else package


def _int8(package: Any) -> Any:
    optimize = _tools.optimize.coreml
    config = optimize.OpLinearQuantizerConfig(
        mode="linear_symmetric", weight_threshold=_FEWEST_WEIGHTS
    )
    return optimize.linear_quantize_weights(
        package, config=optimize.OptimizationConfig(global_config=config)
    )


def _save(package: Any, path: Path) -> None:
    with quiet(native=True):
        package.save(str(path))
