"""What a tracked frame costs, ours beside the plain way, in one interleaved table.

    python benchmarks/tracking_speed.py --results results/tracking-speed-amd-epyc

``plain`` computes as the authors' code does: windows filled up, every key and value of the memory
projected again in every frame, one object at a time. ``ours`` has the same weights. Other forms are
ours with one thing changed: ``bf16``, ``channels_last``, ``compiled``. The memory is full (7 maps, 16
pointers) before anything is timed; frames are images in memory, and a call is one ``push``. Weights
are random: the cost does not depend on them. The largest difference of the logits, in their standard
deviations, after the memory has filled stands beside each form.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from tables import write_results
from tables_tracking import tracking_speed

from pocketeye.latency.device import Device
from pocketeye.latency.protocol import Measured, Protocol, measure_interleaved
from pocketeye.latency.record import LatencyRecord, choose_clock
from pocketeye.models import TAM, create_tam
from pocketeye.provenance import environment
from pocketeye.tracking import Session, TorchEngine, Tracker

NETWORKS = ("efficienttam_ti_512x512", "efficienttam_ti_1", "efficienttam_ti_2")
FORMS = ("plain", "ours", "bf16", "channels_last", "compiled")
SIZE = (854, 480)
NUM_WARM = 16  # pointers of 15 frames, and one more
NUM_FRAMES = 40


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One network in one form, following some objects."""

    network: str
    form: str
    num_objects: int
    session: Session
    logits: np.ndarray
    call: Callable[[], None]

    @property
    def name(self) -> str:
        return f"{self.network} {self.form} {self.num_objects}"


def images() -> list[np.ndarray]:
    """Discs that move over noise."""
    width, height = SIZE
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 120, (height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    frames = []
    for number in range(NUM_FRAMES):
        frame = ground.copy()
        for k in range(8):
            inside = (x - 60 - 100 * k - number) ** 2 + (y - 60 - 50 * k) ** 2 < 40**2
            frame[inside] = (30 * k, 250 - 30 * k, 140)
        frames.append(frame)
    return frames


def network_of(name: str, *, plain: bool) -> TAM:
    torch.manual_seed(0)
    model = create_tam(name, pad_windows=plain).eval()
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(8)  # type: ignore[union-attr]
    return model


def tracker_of(base: TAM, name: str, form: str) -> Tracker[TorchEngine]:
    if form == "plain":
        model = network_of(name, plain=True)
        model.load_state_dict(base.state_dict())
        return Tracker(TorchEngine(model, device="cpu"))
    model = copy.deepcopy(base) if form in ("channels_last", "compiled") else base
    if form == "channels_last":
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if form == "compiled":
        model.image_encoder.compile()
        model.memory_attention.compile()
    dtype: Literal["float32", "bfloat16"] = "bfloat16" if form == "bf16" else "float32"
    return Tracker(TorchEngine(model, device="cpu", dtype=dtype))


def cell_of(tracker: Tracker[TorchEngine], name: str, form: str, num_objects: int) -> Cell:
    """A session whose memory is full."""
    frames = itertools.cycle(images())
    session = tracker.open(plain=form == "plain", keep_images=False)
    session.push(next(frames))
    for k in range(num_objects):
        session.add(k + 1, points=[[60 + 100 * k, 60 + 50 * k]])
    for _ in range(NUM_WARM):
        result = session.push(next(frames))
    # every map and pointer there is, for each object
    memories = session._objects.memories.values()
    assert all(len(m.answers) == 6 and len(m.pointers) == 15 for m in memories)
    print(f"ready: {name} {form}, {num_objects} object(s)", flush=True)
    return Cell(
        network=name, form=form, num_objects=num_objects, session=session,
        logits=result.logits[0], call=lambda: _push(session, next(frames)),
    )  # fmt: skip


def _push(session: Session, frame: np.ndarray) -> None:
    session.push(frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=("plain", "ours"))
    parser.add_argument("--objects", type=int, nargs="+", default=(1, 8))
    parser.add_argument("--rounds", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = []
    for name in args.networks:
        base = network_of(name, plain=False)
        for form in args.forms:
            tracker = tracker_of(base, name, form)
            for num_objects in args.objects:
                # the plain way to many objects is so many times the way to one
                if form in ("plain", "ours") or num_objects == 1:
                    cells.append(cell_of(tracker, name, form, num_objects))
    protocol = Protocol(rounds=args.rounds, samples=1, extra_rounds=args.rounds // 2)
    measured = measure_interleaved({c.name: c.call for c in cells}, protocol, threads=1)
    _write(cells, measured, protocol, args.results)


def _write(
    cells: list[Cell], measured: dict[str, Measured], protocol: Protocol, path: Path
) -> None:
    first = {(c.network, c.num_objects): c.logits for c in reversed(cells)}
    records: dict[str, Any] = {}
    off_by: dict[str, str] = {}
    for cell in cells:
        found = measured[cell.name]
        record = LatencyRecord(
            subject=cell.network, runtime="torch", runtime_version=torch.__version__, threads=1,
            precision="bfloat16" if cell.form == "bf16" else "float32",
            clock=choose_clock(1), timing=found.timing,
            flags={"form": cell.form, "objects": cell.num_objects}, protocol=protocol.to_dict(),
            input_size=cell.session.engine.facts.image_size[0], disturbed=found.disturbed,
        )  # fmt: skip
        records[cell.name] = record.to_dict()
        want = first[cell.network, cell.num_objects]
        off_by[cell.name] = f"{np.abs(cell.logits - want).max() / want.std():.1e}"
    caption = (
        f"{Device.here()}, torch {torch.__version__}, one thread, frames of {SIZE[0]}x{SIZE[1]}, full "
        "memory, warm, interleaved, undisturbed ms. Off by: largest difference of the first object's "
        "logits to the first form, in standard deviations."
    )
    content = {
        "cells": records, "off_by": off_by, "environment": environment(), "caption": caption,
    }  # fmt: skip
    write_results(path, content, tracking_speed)


if __name__ == "__main__":
    main()
