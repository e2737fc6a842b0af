"""Write the artefact of a detector or segmenter: its graphs, script, agreement, latency."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

from pocketeye import runs
from pocketeye.artifacts.dense import (
    load_dense_artifact,
)
from pocketeye.artifacts.script import SCRIPT_RUNTIME, dense_script
from pocketeye.artifacts.semantic_numpy import prepare
from pocketeye.exporting.agreement import agreement_of
from pocketeye.exporting.dense_graphs import (
    CALIBRATION,
    DIVISOR,
    canvas_for,
    graph_request,
    raw_graph,
    write_graphs,
)
from pocketeye.exporting.exported import (
    AGREEMENT,
    OF_AN_ARTEFACT,
    SCRIPT,
    Exported,
    ExportOptions,
    Int8Images,
)
from pocketeye.exporting.origin import save_origin
from pocketeye.exporting.sample_images import sample_images
from pocketeye.exporting.timing import time_dense
from pocketeye.models.dense.described import open_dense
from pocketeye.models.task import Task
from pocketeye.outputs import whole_folder
from pocketeye.predicting.dense import TorchDensePredictor
from pocketeye.progress import task
from pocketeye.runs import LATENCY, MANIFEST
from pocketeye.runtimes import (
    PARITY,
    Artifact,
    check_parity,
    get_runtime,
    seal,
)
from pocketeye.runtimes.layer_noise import with_layer_noise

# Enough to see where the time goes; `pocketeye bench` measures longer.
_TIMED, _ROUNDS = 4, 3


def export_dense(folder: Path, options: ExportOptions) -> Exported:
    """Export the detector or segmenter of a run, prove that it answers the same, and time it.

    Raises:
        InvalidValue: an artefact instead of a run, an unknown runtime, or options that do not fit.
        MissingFile: no such data.
    """
    runtime, precision, data = get_runtime(options.to), options.precision, options.data
    runtime.require_here("exporting a detector or segmenter")
    network, described = open_dense(folder)
    # Resolved: the folder may have been given as "." or through a link.
    name = folder.resolve().name
    images = sample_images(described, data, options.samples)
    # A detector fills its input up to multiples of 32 in torch too, a segmenter takes what it gets.
    divisor = 1 if described.task.labels_pixels else DIVISOR
    shorter = options.input_size or described.min_size
    canvas = canvas_for(images, shorter, described.max_size, divisor)
    fits = [prepare(p, canvas, described.mean, described.std) for p in images]
    prepared = [(image,) for image, _ in fits]
    raw, manifest = raw_graph(network, described, canvas)
    folder = options.folder(name)
    with whole_folder(folder, MANIFEST, OF_AN_ARTEFACT) as staging:
        with task(f"exporting {described.network} ({runtime.name}, {precision})"):
            artifact, crops = write_graphs(
                network, raw, manifest, runtime, precision, staging, fits
            )
        used = None
        if precision == "int8":
            used = Int8Images(data=data, num_images=len(prepared[:CALIBRATION]), crops=crops)
        manifest.save(staging)
        described.save(staging)
        script = _write_script(described.task, artifact)
        # What is proved and timed is what lies on the disk, not what is in memory.
        executable = load_dense_artifact(staging, threads=options.threads)
        # Of the first graph alone: from it on, NMS decides, and agreement is what can be compared.
        parity = check_parity(raw, executable.graphs[0], prepared, precision)
        if precision == "int8" and parity.status == "FAIL":
            request = graph_request(raw, precision, prepared)
            parity = with_layer_noise(parity, request, runtime, prepared)
        parity.save(staging / PARITY)
        agreement = agreement_of(TorchDensePredictor(network, described), executable, images)
        record = time_dense(
            {name: executable}, images[:_TIMED], rounds=_ROUNDS * _TIMED, threads=options.threads
        )[name]
        record.save(staging / LATENCY)
        save_origin(
            staging, name, network, trained=True, fused=True,
            calibration=used.to_dict() if used else None,
        )  # fmt: skip
        agreement.save(staging / AGREEMENT)
        size_bytes = executable.size_bytes
        artifact = replace(seal(artifact), folder=folder)
    return Exported(
        name=name,
        artifact=artifact,
        size_bytes=size_bytes,
        trained=True,
        parity=parity,
        latency=record,
        canvas=canvas,
        agreement=agreement,
        int8_images=used,
        script=script and folder / script.name,
    )


def _write_script(kind: Task, artifact: Artifact) -> Path | None:
    """Write what runs the artefact without pocketeye and torch; a torch artefact cannot do without."""
    if artifact.runtime != SCRIPT_RUNTIME:
        return None
    text = dense_script(kind, metadata.version("pocketeye"))
    return runs.write_atomic(artifact.folder / SCRIPT, text)
