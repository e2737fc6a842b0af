"""Time what was exported by the one protocol, and write the records of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from pocketeye.artifacts.dense import DenseExecutable
from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Call, Measured, Protocol, measure_interleaved
from pocketeye.latency.record import LatencyRecord, Timing, choose_clock
from pocketeye.runtimes import Runtime, get_runtime

_ALL = "all"  # beside the names of stages: the whole way in one


def record_of(
    subject: str,
    measured: Measured,
    *,
    runtime: Runtime,
    precision: str,
    threads: int,
    protocol: Protocol,
    input_size: int | None = None,
) -> LatencyRecord:
    """Write down what was measured here and now."""
    return LatencyRecord(
        subject=subject,
        runtime=runtime.name,
        runtime_version=runtime.version(),
        threads=threads,
        precision=precision,
        clock=choose_clock(threads, runtime.remote),
        device=Device.of(runtime),
        timing=measured.timing,
        flags=runtime.flags(),
        protocol=protocol.to_dict(),
        input_size=input_size,
        disturbed=measured.disturbed,
    )


def time_dense(
    executables: Mapping[str, DenseExecutable],
    images: Sequence[np.ndarray],
    *,
    rounds: int,
    threads: int,
) -> dict[str, LatencyRecord]:
    """Time the whole way from an image to the answer, and its stages one by one, side by side.

    A sample takes all ``images`` once and is divided by their number, as an image with more in it takes
    longer to decode: what is reported is the mean over the images.

    Args:
        rounds: passes over single images; every artefact is visited ``rounds / len(images)`` times.
    """
    # One sample a visit: a visit already takes every image twice, once to warm up.
    protocol = Protocol(
        rounds=max(1, rounds // len(images)), samples=1, extra_rounds=max(1, rounds // 8)
    )
    calls: dict[str, Call] = {}
    for name, executable in executables.items():
        # Each stage is given what the one before made of its own image.
        stages = [executable.stages(image) for image in images]
        for stage in stages[0]:
            calls[f"{name}\t{stage}"] = _in_turn([one[stage] for one in stages])
        calls[f"{name}\t{_ALL}"] = _in_turn([partial(executable, image) for image in images])
    measured = measure_interleaved(calls, protocol, threads=threads, description="timing")
    return {
        name: _dense_record(name, executable, measured, protocol, threads, len(images))
        for name, executable in executables.items()
    }


def _in_turn(calls: Sequence[Callable[[], object]]) -> Call:
    # Called as the caller would, one after another: no image is timed twice in a row.
    def call() -> None:
        for one in calls:
            one()

    return call


def _dense_record(
    name: str,
    executable: DenseExecutable,
    measured: Mapping[str, Measured],
    protocol: Protocol,
    threads: int,
    num_images: int,
) -> LatencyRecord:
    artifact = executable.artifact
    mine = {
        # A sample is a pass over all images; records are of one.
        key.removeprefix(f"{name}\t"): replace(one, timing=_per_image(one.timing, num_images))
        for key, one in measured.items()
        if key.startswith(f"{name}\t")
    }
    whole = mine.pop(_ALL)
    record = record_of(
        name, whole, runtime=get_runtime(artifact.runtime), precision=artifact.precision,
        threads=threads, protocol=protocol,
    )  # fmt: skip
    extra: dict[str, Any] = {"canvas": list(executable.manifest.canvas), "images": num_images}
    return replace(
        record,
        stages={stage: one.timing for stage, one in mine.items()},
        flags={**record.flags, **extra},
    )


def _per_image(timing: Timing, num_images: int) -> Timing:
    def share(ms: float | None) -> float | None:
        return None if ms is None else ms / num_images

    return replace(
        timing,
        p10_ms=share(timing.p10_ms),
        p50_ms=share(timing.p50_ms),
        p90_ms=share(timing.p90_ms),
        undisturbed_ms=share(timing.undisturbed_ms),
    )
