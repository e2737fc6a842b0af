"""Export a classifier: its graph, the proof that it computes the same, its latency."""

from __future__ import annotations

import json
from pathlib import Path

from pocketeye import runs
from pocketeye.exporting.exported import Exported, ExportOptions
from pocketeye.exporting.inputs import Inputs, sample_inputs, settle_batchnorm
from pocketeye.exporting.timing import record_of
from pocketeye.latency.protocol import Protocol, measure_interleaved
from pocketeye.models import count
from pocketeye.models import fuse as fuse_network
from pocketeye.predicting.network import Network
from pocketeye.progress import task
from pocketeye.runs import LATENCY, ORIGIN
from pocketeye.runtimes import (
    Artifact,
    ExportRequest,
    Precision,
    Runtime,
    check_parity,
    get_runtime,
)
from pocketeye.runtimes.parity import PARITY

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
    artifact = write_artifact(
        network, runtime, options.precision, folder, inputs, fuse=options.fuse
    )
    executable = runtime.load(artifact, threads=options.threads)
    network.info.save(folder)  # `eval` and `predict` of the artefact see images as training did
    parity = check_parity(network.module, executable, inputs, options.precision)
    parity.save(folder / PARITY)
    protocol = Protocol()
    calls = {network.name: executable.bind(*inputs[0])}
    measured = measure_interleaved(calls, protocol, threads=options.threads)
    record = record_of(
        network.name,
        measured[network.name],
        runtime=runtime,
        precision=options.precision,
        threads=options.threads,
        protocol=protocol,
        input_size=network.input_size,
    )
    record.save(folder / LATENCY)
    return Exported(
        name=network.name,
        artifact=artifact,
        size_bytes=artifact.size_bytes,
        trained=network.trained,
        parity=parity,
        latency=record,
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
    request = ExportRequest(
        fuse_network(network.module) if fuse else network.module,
        (network.example(),),
        precision=precision,
        calibration=inputs[:_MAX_CALIBRATION],
    )
    with task(f"exporting {network.name} ({runtime.name}, {precision})"):
        artifact = runtime.export(request, folder)
    # Of the network as it is known, not of its fused form: papers count so.
    counts = count(network.module, network.input_shape)
    origin = {
        "name": network.name,
        "trained": network.trained,
        "fused": fuse,
        "input_shape": network.input_shape,
        "macs": counts.macs,
        "params": counts.params,
        "created": runs.now(),
        "git": runs.git_hash(),
    }
    runs.write_atomic(folder / ORIGIN, json.dumps(origin, indent=1) + "\n")
    return artifact
