"""Resident memory while objects are tracked through an endless stream: it must not grow.

    python benchmarks/tracking_memory.py --results results/tracking-memory --frames 10000

Frames are made one by one and tracked by a session; every so often the oldest object is removed and a
new one added, and one is corrected. Writes a curve (PNG) and the numbers (JSON), and exits with 1 where
the memory of the last half lies more than 5 % or 16 MB above that of the quarter before it. Weights are
random: what is held does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import psutil
import torch
from matplotlib.figure import Figure

from pocketeye.runs import cpu_name, environment, write_atomic
from pocketeye.tracking import Session, load_tracker

mpl.use("Agg")


def stream(count: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """A disc that goes round over noise that rolls."""
    width, height = size
    ground = np.random.default_rng(0).integers(0, 120, (height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    for number in range(count):
        frame = np.roll(ground, number, 1)
        angle = number / 40
        at_x, at_y = width * (0.5 + 0.3 * np.cos(angle)), height * (0.5 + 0.3 * np.sin(angle))
        frame[(x - at_x) ** 2 + (y - at_y) ** 2 < (height / 8) ** 2] = (240, 190, 40)
        yield frame


def change(session: Session, added: int, most: int, frame: int) -> int:
    """A new object for the oldest, and a correction of another; the number of objects added so far."""
    assert session.size is not None
    width, height = session.size
    if len(session.object_ids) >= most:
        session.remove(session.object_ids[0])
    place = [(37 * frame) % width, (53 * frame) % height]
    session.add(added + 1, points=[place])
    session.add(session.object_ids[0], points=[place], labels=[0])
    return added + 1


def watch(args: argparse.Namespace) -> tuple[list[int], list[float], float]:
    """Frames at which memory was read, megabytes, and milliseconds per frame."""
    tracker = load_tracker(args.model, device="cpu", untrained=True)
    process, seen, resident = psutil.Process(), [], []
    began = time.perf_counter()
    with tracker.open(stream(args.frames, (args.width, args.height))) as session:
        added = 0
        for _ in range(args.objects):
            session.add(added + 1, frame=0, points=[[args.width / 2, args.height / 2]])
            added += 1
        for result in session.run(0):
            assert result.frame is not None
            if result.frame % args.change_every == args.change_every - 1:
                added = change(session, added, args.objects, result.frame)
            if result.frame % max(args.frames // 200, 1) == 0:
                seen.append(result.frame)
                resident.append(process.memory_info().rss / 2**20)
    return seen, resident, 1000 * (time.perf_counter() - began) / args.frames


def is_flat(resident: list[float]) -> bool:
    half = len(resident) // 2
    before = max(resident[half // 2 : half])
    return max(resident[half:]) <= max(1.05 * before, before + 16)


def plot(seen: list[int], resident: list[float], title: str, path: Path) -> None:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(seen, resident, linewidth=1.5)
    axes.set(xlabel="frame", ylabel="resident memory (MB)", ylim=(0, 1.3 * max(resident)))
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--model", default="pocketeye_tam_nano")
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--change-every", type=int, default=250)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    args = parser.parse_args()
    torch.set_num_threads(1)
    seen, resident, ms = watch(args)
    flat = is_flat(resident)
    title = (
        f"{args.model}, {args.frames} frames of {args.width}x{args.height}, {args.objects} objects, "
        f"one exchanged every {args.change_every} frames"
    )
    args.results.parent.mkdir(parents=True, exist_ok=True)
    plot(seen, resident, title, args.results.with_suffix(".png"))
    record = {
        "title": title, "frames": seen, "resident_mb": resident, "ms_per_frame": ms, "flat": flat,
        "environment": environment(),
    }  # fmt: skip
    write_atomic(args.results.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    print(
        f"{cpu_name()}: {title}: {ms:.1f} ms per frame, {resident[0]:.0f} MB at first, "
        f"{max(resident):.0f} MB at most, {resident[-1]:.0f} MB at the end: "
        f"{'flat' if flat else 'it grew'}"
    )
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
