"""Write the artefact of a tracker: its graphs, script, agreement with torch, latency."""

from __future__ import annotations

import shutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pocketeye import runs
from pocketeye.artifacts.script import SCRIPT_RUNTIME
from pocketeye.artifacts.tracker import (
    DECODE,
    IMAGE,
    READ,
    WRITE,
    TrackerManifest,
    graph_folder,
    load_tracker_graphs,
)
from pocketeye.data.clips.flower import HiddenFlowerClip
from pocketeye.errors import InvalidValue
from pocketeye.exporting.exported import (
    AGREEMENT,
    OF_AN_ARTEFACT,
    TRACK_SCRIPT,
    Exported,
    ExportOptions,
    Int8Images,
)
from pocketeye.exporting.inputs import photograph_crops
from pocketeye.exporting.origin import save_origin
from pocketeye.exporting.tracker.agreement import TrackAgreement
from pocketeye.exporting.tracker.graphs import read_by_means, tracker_graphs, tracker_manifest
from pocketeye.exporting.tracker.proof import agreement_of, time_tracker
from pocketeye.exporting.tracker.script import tracker_script
from pocketeye.models import TAM
from pocketeye.models.reference import Run
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.outputs import whole_folder
from pocketeye.progress import task
from pocketeye.runs import LATENCY, MANIFEST
from pocketeye.runtimes import (
    Artifact,
    ExportRequest,
    ParityReport,
    Precision,
    Runtime,
    get_runtime,
)
from pocketeye.runtimes._store import check_precision, seal
from pocketeye.runtimes.parity import PARITY
from pocketeye.tracking.networks import open_model, weights_file, weights_here
from pocketeye.tracking.video.confidence import beside, curve_of

# Images that int8 takes its ranges from: photographs of all kinds, and frames of a clip.
_CALIBRATION = 32
# The proof follows a clip of 60 frames; at 1024 pixels one takes torch seconds.
_LARGE, _FRAMES_OF_LARGE = 512, 12
_WORST = ("PASS", "WARN", "FAIL").index


def export_tracker(
    named: Any, options: ExportOptions, *, checkpoint: Path | None = None
) -> Exported:
    """Export a tracker, image and video part, prove that it tracks the same, and time it.

    Args:
        named: a :class:`Named` tracker or the :class:`Run` of one.
        checkpoint: weights; by default its own. Without any here it is exported with random ones,
            for timing.

    Raises:
        InvalidValue: an unknown runtime or precision, options that do not fit, or a full disk.
        MissingFile: no such weights.
    """
    runtime = get_runtime(options.to)
    runtime.require_here("exporting a tracker")
    check_precision(runtime, options.precision)
    model, weights = _opened(named, options, checkpoint)
    if options.pool_memory:
        read_by_means(model)
    modules = tracker_graphs(model)
    folder = options.folder(named.name)
    names = (*OF_AN_ARTEFACT, *modules)
    with whole_folder(folder, MANIFEST, names) as staging:
        used = _write_graphs(modules, runtime, options, staging)
        tracker_manifest(model, modules).save(staging)
        if weights is not None and curve_of(weights) is not None:
            shutil.copyfile(beside(weights), staging / TrackerManifest.CURVE)
        script = _write_script(staging, runtime)
        # What is proved and timed is what lies on the disk.
        graphs = load_tracker_graphs(staging, threads=options.threads)
        agreement, reports, engine = agreement_of(
            model, modules, graphs, _num_frames(model, options)
        )
        parity = _worst(reports)
        parity.save(staging / PARITY)
        record = time_tracker(named.name, graphs, engine, options.threads)
        record.save(staging / LATENCY)
        _write_notes(staging, named.name, model, weights, used, agreement, reports)
        size_bytes = graphs.size_bytes
        artifact = replace(seal(graphs.artifacts[IMAGE]), folder=folder)
    return Exported(
        name=named.name,
        artifact=artifact,
        size_bytes=size_bytes,
        trained=weights is not None,
        parity=parity,
        latency=record,
        canvas=model.image_size,
        agreement=agreement,
        int8_images=used,
        script=script and folder / script.name,
    )


def _opened(named: Any, options: ExportOptions, checkpoint: Path | None) -> tuple[TAM, Path | None]:
    """Return the network, and the file of its weights; None where they are random."""
    if not options.fuse:
        raise InvalidValue("graphs of trackers are always folded: leave --no-fuse out")
    source = str(named.folder) if isinstance(named, Run) else named.name
    random = checkpoint is None and not isinstance(named, Run) and weights_here(source) is None
    model = open_model(
        source, checkpoint=checkpoint, device="cpu", image_size=options.input_size, untrained=random
    )
    return model, None if random else weights_file(source, checkpoint)


def _num_frames(model: TAM, options: ExportOptions) -> int:
    large = max(model.image_size) > _LARGE
    return min(options.samples, _FRAMES_OF_LARGE if large else HiddenFlowerClip.num_frames)


def _write_graphs(
    modules: dict[str, Any], runtime: Runtime, options: ExportOptions, folder: Path
) -> Int8Images | None:
    """Write all graphs.

    int8 has static ranges where the image encoder is a convolutional network, and dynamic ones
    elsewhere; where the runtime has none of those, the other graphs stay in fp32.
    """
    used, images = None, list[tuple[np.ndarray, ...]]()
    quantized = options.precision == "int8"
    static = not (runtime.dynamic_int8 and modules[IMAGE].is_transformer)
    if quantized and static:
        images = _calibration(modules[IMAGE].image_size)
        used = Int8Images(data=None, num_images=len(images))
    with task(f"exporting ({runtime.name}, {options.precision})", len(modules)) as bar:
        for name, module in modules.items():
            bar.note(name)
            request = ExportRequest(
                module,
                module.example(),
                precision=_precision_of(name, runtime, options.precision),
                ranges="static" if name == IMAGE and static else "dynamic",
                calibration=images if name == IMAGE else (),
                input_names=module.input_names,
                output_names=module.output_names,
            )
            with torch.no_grad():
                runtime.export(request, graph_folder(folder, name))
            bar.advance()
        written = [Artifact.load(graph_folder(folder, name)) for name in modules]
        # The reading graphs differ in the number of their places alone.
        runtime.share_weights(written, folder)
    return used


def _precision_of(name: str, runtime: Runtime, asked: Precision) -> Precision:
    """Return the precision of a graph: in int8 are those of every frame, if the runtime can."""
    if asked != "int8" or name == IMAGE:
        return asked
    of_every_frame = name in (DECODE, WRITE) or name.startswith(READ)
    return "int8" if of_every_frame and runtime.dynamic_int8 else "fp32"


def _calibration(image_size: tuple[int, int]) -> list[tuple[np.ndarray, ...]]:
    """Return images as the encoder takes them."""
    height, width = image_size
    crops = photograph_crops(_CALIBRATION // 2, np.random.default_rng(0))
    clip = HiddenFlowerClip()
    step = len(clip) // (_CALIBRATION // 2)
    frames = [Image.fromarray(clip[step * n][0]) for n in range(_CALIBRATION // 2)]
    return [(np.asarray(image.resize((width, height)))[None],) for image in (*crops, *frames)]


def _worst(reports: dict[str, ParityReport]) -> ParityReport:
    """Return the report of the graph that is farthest from torch."""
    return max(reports.values(), key=lambda report: (_WORST(report.status), report.rel))


def _write_script(folder: Path, runtime: Runtime) -> Path | None:
    """Write what runs the artefact without pocketeye and torch, where the runtime can do without."""
    if runtime.name != SCRIPT_RUNTIME:
        return None
    return runs.write_atomic(folder / TRACK_SCRIPT, tracker_script(metadata.version("pocketeye")))


def _write_notes(
    folder: Path, name: str, model: TAM, weights: Path | None, used: Int8Images | None,
    agreement: TrackAgreement, reports: dict[str, ParityReport],
) -> None:  # fmt: skip
    """Write what the artefact was made of, and how alike its answers are."""
    TrackerDescription(variant=model.variant, image_size=model.image_size).save(folder)
    save_origin(
        folder, name, model, trained=weights is not None, fused=True,
        calibration=used.to_dict() if used else None,
    )  # fmt: skip
    graphs = {key: report.to_dict() for key, report in reports.items()}
    runs.write_json(folder / AGREEMENT, {**agreement.to_dict(), "graphs": graphs})
