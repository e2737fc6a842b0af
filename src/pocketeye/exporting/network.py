"""Write the artefact of a network: graph, parity, latency, what it was made of."""

from __future__ import annotations

import json
from pathlib import Path

from pocketeye import runs
from pocketeye.exporting.inputs import Inputs, settle_batchnorm
from pocketeye.models import count
from pocketeye.models import fuse as fuse_network
from pocketeye.predicting.network import Network
from pocketeye.progress import task
from pocketeye.runs import ORIGIN
from pocketeye.runtimes import Artifact, Precision, Runtime

_MAX_CALIBRATION = 32


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
        settle_batchnorm(network.module, inputs[:_MAX_CALIBRATION])
    with task(f"exporting {network.name} ({runtime.name}, {precision})"):
        artifact = runtime.export(
            fuse_network(network.module) if fuse else network.module,
            (network.example(),),
            folder,
            precision=precision,
            calibration=inputs[:_MAX_CALIBRATION],
        )
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
