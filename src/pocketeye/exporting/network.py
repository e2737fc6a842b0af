"""Export a classifier: its graph, the proof that it computes the same, its latency."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pocketeye.exporting.elsewhere import CHECK, write_check
from pocketeye.exporting.exported import OF_AN_ARTEFACT, Exported, ExportOptions
from pocketeye.exporting.inputs import Inputs, sample_inputs, settle_batchnorm
from pocketeye.exporting.origin import save_origin
from pocketeye.exporting.timing import record_of
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.latency.record import LatencyRecord
from pocketeye.models import count, fuse as fuse_network
from pocketeye.outputs import whole_folder
from pocketeye.predicting.network import Network
from pocketeye.progress import task
from pocketeye.runs import LATENCY, MANIFEST
from pocketeye.runtimes import (
    PARITY,
    Artifact,
    Executable,
    ExportRequest,
    ParityReport,
    Precision,
    Runtime,
    check_parity,
    get_runtime,
    seal,
)
from pocketeye.runtimes.layer_noise import with_layer_noise

# Every image costs a pass of the calibrator.
_MAX_CALIBRATION = 32


def export_network(network: Network, options: ExportOptions) -> Exported:
    """Write the artefact, compare it with the network, and time it.

    Raises:
        InvalidValue: an unknown runtime or precision, or a full disk. MissingFile: no such data.
    """
    runtime = get_runtime(options.to)
    inputs = sample_inputs(network, options.data, options.samples)
    folder = options.folder(network.name)
    with whole_folder(folder, MANIFEST, OF_AN_ARTEFACT) as staging:
        artifact = write_artifact(
            network, runtime, options.precision, staging, inputs, fuse=options.fuse
        )
        # `eval` and `predict` of the artefact see images as training did.
        network.info.save(staging)
        record = None
        if runtime.runs_here:
            parity, record = _proved(network, artifact, inputs, runtime, options)
            record.save(staging / LATENCY)
        else:
            parity = write_check(network.module, artifact, inputs, staging)
        parity.save(staging / PARITY)
        artifact = replace(seal(artifact), folder=folder)
    return Exported(
        name=network.name,
        artifact=artifact,
        size_bytes=artifact.size_bytes,
        trained=network.trained,
        parity=parity,
        latency=record,
        script=None if runtime.runs_here else folder / CHECK,
    )


def _proved(
    network: Network, artifact: Artifact, inputs: Inputs, runtime: Runtime, options: ExportOptions
) -> tuple[ParityReport, LatencyRecord]:
    """Compare what lies on the disk with the network, and time it."""
    executable = runtime.load(artifact, threads=options.threads)
    parity = check_parity(network.module, executable, inputs, options.precision)
    # Random weights say nothing of the layers of a trained network.
    if options.precision == "int8" and parity.status == "FAIL" and network.trained:
        request = _request(network, options.precision, inputs, fuse=options.fuse)
        with task("looking for the layer"):
            parity = with_layer_noise(parity, request, runtime, inputs)
    return parity, _timed(network, executable, inputs, runtime, options)


def _timed(
    network: Network,
    executable: Executable,
    inputs: Inputs,
    runtime: Runtime,
    options: ExportOptions,
) -> LatencyRecord:
    """Time the artefact on the first input."""
    protocol = Protocol.of(runtime)
    calls = {network.name: executable.bind(*inputs[0])}
    measured = measure_interleaved(calls, protocol, threads=options.threads)
    return record_of(
        network.name,
        measured[network.name],
        runtime=runtime,
        precision=options.precision,
        threads=options.threads,
        protocol=protocol,
        input_size=network.input_size,
    )


def write_artifact(
    network: Network,
    runtime: Runtime,
    precision: Precision,
    folder: Path,
    inputs: Inputs,
    *,
    fuse: bool = True,
) -> Artifact:
    """Export into ``folder``, with a note of what was exported (``export.json``) beside it."""
    if not network.trained:
        # Before fusing, which takes the statistics in.
        settle_batchnorm(network.module, inputs[:_MAX_CALIBRATION])
    request = _request(network, precision, inputs, fuse=fuse)
    with task(f"exporting {network.name} ({runtime.name}, {precision})"):
        artifact = runtime.export(request, folder)
    macs = count(network.module, network.input_shape).macs
    save_origin(
        folder, network.name, network.module, trained=network.trained, fused=fuse,
        input_shape=network.input_shape, macs=macs,
    )  # fmt: skip
    return artifact


def _request(
    network: Network, precision: Precision, inputs: Inputs, *, fuse: bool
) -> ExportRequest:
    return ExportRequest(
        fuse_network(network.module) if fuse else network.module,
        (network.example(),),
        precision=precision,
        calibration=inputs[:_MAX_CALIBRATION],
    )
