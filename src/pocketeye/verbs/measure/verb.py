"""Run ``pocketeye measure``: a latency table of this device, and how far it can be trusted."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from pocketeye.errors import InvalidValue
from pocketeye.latency.build import build_table
from pocketeye.latency.noise import table_noise
from pocketeye.latency.protocol import Protocol
from pocketeye.latency.saved_table import check_file, measure_again
from pocketeye.latency.table import table_name
from pocketeye.models.dense.pixel_head import SegmenterSpec
from pocketeye.models.size import Size, parse_size, size_text
from pocketeye.models.space import SearchSpace, load_space
from pocketeye.models.task import CLASSIFY, SEMANTIC, task_named
from pocketeye.runtimes import Precision, get_runtime
from pocketeye.verbs._options import refuse
from pocketeye.verbs.measure.result import MeasureResult

_FPN_CHANNELS, _HEAD_CHANNELS = 96, 64  # those of the recipe semantic-small


def measure(
    space: str | None = None,
    *,
    network: str | None = None,
    runtime: str = "onnxruntime",
    threads: int = 1,
    precision: Precision = "fp32",
    task: Literal["classify", "semantic"] = "classify",
    input_size: int | str | None = None,
    width: float | None = None,
    num_classes: int | None = None,
    fpn_channels: int | None = None,
    head_channels: int | None = None,
    out: Path | None = None,
    check: Path | None = None,
    nets: int = 24,
    calibration_nets: int = 16,
    rounds: int | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> MeasureResult:
    """Measure every block of a search space on this device; or check a table against fresh networks.

    Interrupted, the same command continues where it was.

    Args:
        space: one of the search spaces that come along (blood-cells, digits, fbnet, fbnet-cifar,
            fbnet-small, fbnet+casvit, fbnet+casvit-cifar), or a YAML file of your own; fbnet by default.
        network: a trained network instead, a run or the name of published weights: the space is made of
            its own widths and strides, for `pocketeye search --network`.
        runtime: what runs the network: onnxruntime, torch, openvino, executorch or litert (`pocketeye
            doctor` tells which are installed); or browser (browser-webgpu), which waits for a phone or
            another browser to open the address that it shows.
        threads: threads inside an operator.
        precision: arithmetic of the network.
        task: what the networks will be trained for. With classify a network ends in a classifier, with
            semantic in the pyramid and head of Semantic FPN, which give every pixel a class.
        input_size: side of the image in pixels, or width and height as in 480x360; the space's own
            by default.
        width: multiplier of all widths.
        num_classes: outputs of the classifier; the space's own by default.
        fpn_channels: of semantic, width of the pyramid; 96 by default.
        head_channels: of semantic, width of the head; 64 by default.
        out: the table to write; named after space, size, runtime, precision and this device by default.
        check: a table to check instead of measuring one; it says itself what it was made for.
        nets: fresh random networks of the check.
        calibration_nets: whole networks measured along with the blocks.
        rounds: visits of every block; more is more precise.
        seed: of the random networks.
        overwrite: measure again although the table is there.

    Raises:
        InvalidValue: unknown space or runtime, an existing table, or (with check) a table of
            another device, runtime version or space.
        MissingFile: no table to check.
        UserError: interrupted; says how to continue.
    """
    started = time.monotonic()
    if rounds is not None and rounds < 2:
        raise InvalidValue(f"rounds must be at least 2 (two halves are compared), got {rounds}")
    if check is not None:
        if out is not None:
            raise InvalidValue(
                "--check checks a table that is there and --out names one to write: use one of them"
            )
        # A table says itself for what space, runtime and size it is.
        table, report, files = check_file(check, nets=nets, rounds=rounds, seed=seed)
        known = table.space()
        return MeasureResult(
            table_path=check,
            table=table,
            space=known,
            again=measure_again(known.name, known, table, check),
            noise=table_noise(table, known),
            range_ms=table.matrix(known).range_ms,
            seconds=time.monotonic() - started,
            check=report,
            files=files,
        )
    size = None if input_size is None else parse_size(input_size)
    if network is not None:
        chosen = _space_around(network, space, size, width, num_classes, task)
    else:
        chosen = load_space(space or "fbnet").with_(
            input_size=size, width=width, num_classes=num_classes
        )
    # What the network ends in takes part of its latency: it has to be known before measuring.
    segmenter = _segmenter(task, chosen, num_classes, input_size, fpn_channels, head_channels)
    if threads < 1:
        raise InvalidValue(f"threads must be at least 1, got {threads}")
    timer = get_runtime(runtime)
    path = out or Path(table_name(chosen, segmenter, timer, precision))
    table = build_table(
        chosen,
        runtime=timer,
        out=path,
        threads=threads,
        precision=precision,
        protocol=Protocol.of(timer, rounds),
        calibration_nets=calibration_nets,
        segmenter=segmenter,
        seed=seed,
        overwrite=overwrite,
    )
    return MeasureResult(
        table_path=path,
        table=table,
        space=chosen,
        again=measure_again(space or chosen.name, chosen, table, path),
        network=network,
        noise=table_noise(table, chosen),
        range_ms=table.matrix(chosen).range_ms,
        seconds=time.monotonic() - started,
        files=(path,),
    )


def _space_around(
    network: str, space: str | None, size: Size | None, width: float | None, classes: int | None,
    task: str,
) -> SearchSpace:  # fmt: skip
    """Return the space of a trained network; refuse what would make it another network's."""
    refuse("--network, which makes a space of its own", space=space, width=width,
           num_classes=classes)  # fmt: skip
    if task != CLASSIFY.name or not isinstance(size, int | None):
        raise InvalidValue("--network is a classifier, which sees squares: leave out --task, and give "
                           "one number for --input-size")  # fmt: skip
    # Only those who name a network wait for the search to be imported.
    from pocketeye.searching.library.network import open_network

    return open_network(network, size).space


def _segmenter(
    task: str,
    space: SearchSpace,
    num_classes: int | None,
    input_size: int | str | None,
    fpn_channels: int | None,
    head_channels: int | None,
) -> SegmenterSpec | None:
    """Return what whole networks end with, None for classifiers; refuse what means nothing."""
    # Options of the pyramid mean nothing to a classifier.
    if not task_named(task, (CLASSIFY, SEMANTIC)).labels_pixels:
        refuse(f"--task {task}", fpn_channels=fpn_channels, head_channels=head_channels)
        if not isinstance(space.input_size, int):
            raise InvalidValue(
                f"classifiers see squares, got the size {size_text(space.input_size)}: give one "
                "number, or --task semantic"
            )
        return None
    if num_classes is None or input_size is None:
        raise InvalidValue(
            "--task semantic needs --num-classes, of the pixels, and --input-size, of the images "
            "as the network gets them, for example --num-classes 11 --input-size 480x360"
        )
    return SegmenterSpec(
        num_classes=num_classes,
        fpn_channels=fpn_channels or _FPN_CHANNELS,
        head_channels=head_channels or _HEAD_CHANNELS,
    )
