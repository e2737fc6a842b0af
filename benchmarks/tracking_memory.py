"""Resident memory while objects are tracked, live or through hours of video: it must not grow.

    python benchmarks/tracking_memory.py --results results/tracking-memory --frames 10000
    python benchmarks/tracking_memory.py --results results/tracking-memory-2h --video-hours 2

The first pushes frames into one session, made one by one. The second writes a video file of that length
into a temporary folder, opens it and runs through it. On the way the oldest object is removed and a new
one added, and one is corrected. Writes a curve (PNG), a table (MD) and the numbers (JSON), and exits
with 1 where the memory of the last half lies more than 5 % or 16 MB above that of the quarter before it.
Weights are random: what is held does not depend on them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import av
import matplotlib as mpl
import numpy as np
import psutil
import torch
from matplotlib.figure import Figure
from tables import write_results
from tables_tracking import tracking_memory

from pocketeye.provenance import cpu_name, environment
from pocketeye.tracking import Engine, Session, Tracker, load_tracker, open_model

mpl.use("Agg")
_SAMPLES = 200


def frames_of(size: tuple[int, int]) -> Iterator[np.ndarray]:
    """A disc that goes round over noise that rolls, without end."""
    width, height = size
    ground = np.random.default_rng(0).integers(0, 120, (height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    number = 0
    while True:
        frame = np.roll(ground, number, 1)
        angle = number / 40
        at_x, at_y = width * (0.5 + 0.3 * np.cos(angle)), height * (0.5 + 0.3 * np.sin(angle))
        frame[(x - at_x) ** 2 + (y - at_y) ** 2 < (height / 8) ** 2] = (240, 190, 40)
        yield frame
        number += 1


def write_video(path: Path, num_frames: int, size: tuple[int, int], fps: int) -> Path:
    """An H.264 file, a frame at a time."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for frame in islice(frames_of(size), num_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode(None))
    return path


@dataclass(kw_only=True)
class Watch:
    """Memory by frame; ``change_every`` frames an object is exchanged and one corrected."""

    num_frames: int
    num_objects: int
    change_every: int
    frames: list[int] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    added: int = 0
    began: float = field(default_factory=time.perf_counter)
    ms_per_frame: float = 0

    def begin(self, session: Session) -> None:
        for _ in range(self.num_objects):
            self._add(session, 0)

    def frame(self, session: Session, number: int) -> None:
        if number % self.change_every == self.change_every - 1:
            session.remove(session.object_ids[0])
            place = self._add(session, number)
            session.add(session.object_ids[0], points=[place], labels=[0])
        if number % max(self.num_frames // _SAMPLES, 1) == 0:
            self.frames.append(number)
            self.resident_mb.append(psutil.Process().memory_info().rss / 2**20)
        self.ms_per_frame = 1000 * (time.perf_counter() - self.began) / (number + 1)

    def is_flat(self) -> bool:
        half = len(self.resident_mb) // 2
        before = max(self.resident_mb[half // 2 : half])
        return max(self.resident_mb[half:]) <= max(1.05 * before, before + 16)

    def _add(self, session: Session, number: int) -> list[int]:
        assert session.size is not None
        width, height = session.size
        self.added += 1
        place = [(37 * (number + self.added)) % width, (53 * (number + self.added)) % height]
        session.add(self.added, points=[place])
        return place


def push(tracker: Tracker[Engine], watch: Watch, size: tuple[int, int]) -> None:
    """Frames one by one into a live session."""
    with tracker.open() as session:
        for number, frame in enumerate(islice(frames_of(size), watch.num_frames)):
            session.push(frame)
            if not number:
                watch.begin(session)
            watch.frame(session, number)


def run_through(tracker: Tracker[Engine], watch: Watch, size: tuple[int, int], fps: int) -> None:
    """A file, opened by its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(Path(folder) / "long.mp4", watch.num_frames, size, fps)
        watch.began = time.perf_counter()
        with tracker.open(path) as session:
            watch.begin(session)
            for result in session.run(0):
                assert result.frame is not None
                watch.frame(session, result.frame)


def plot(watch: Watch, at: Callable[[int], float], xlabel: str, title: str, path: Path) -> None:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([at(frame) for frame in watch.frames], watch.resident_mb, linewidth=1.5)
    axes.set(xlabel=xlabel, ylabel="resident memory (MB)", ylim=(0, 1.3 * max(watch.resident_mb)))
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def report(watch: Watch, title: str, path: Path) -> None:
    record = {
        "title": title, "num_frames": watch.num_frames, "frames": watch.frames,
        "resident_mb": watch.resident_mb, "objects_added": watch.added,
        "ms_per_frame": watch.ms_per_frame, "flat": watch.is_flat(), "environment": environment(),
        "caption": f"{title}. {cpu_name()}, torch {torch.__version__}, one thread.",
    }  # fmt: skip
    write_results(path, record, tracking_memory)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--network", default="pocketeye_tam_nano")
    parser.add_argument("--image-size", type=int, help="of the network; smaller is faster")
    parser.add_argument("--frames", type=int, default=10_000, help="of the live session")
    parser.add_argument("--video-hours", type=float, help="of a file, instead of the live session")
    parser.add_argument("--fps", type=int, default=10, help="of the file")
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--change-every", type=int, default=250, metavar="FRAMES")
    parser.add_argument("--size", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    hours = args.video_hours
    size = tuple(args.size or ((160, 90) if hours else (640, 360)))
    num_frames = round(3600 * hours * args.fps) if hours else args.frames
    watch = Watch(num_frames=num_frames, num_objects=args.objects, change_every=args.change_every)
    model = open_model(args.network, untrained=True, device="cpu", image_size=args.image_size)
    tracker = load_tracker(model, device="cpu")
    if hours:
        run_through(tracker, watch, size, args.fps)
        what = f"{hours:g} hours of video at {args.fps} fps"
    else:
        push(tracker, watch, size)
        what = f"{num_frames} frames pushed"
    title = (
        f"{args.network} at {model.image_size[0]}, {what}, {size[0]}x{size[1]}, {args.objects} "
        f"objects, one exchanged every {args.change_every} frames"
    )
    args.results.parent.mkdir(parents=True, exist_ok=True)
    image = args.results.with_suffix(".png")
    if hours:
        plot(watch, lambda frame: frame / args.fps / 60, "minute of the video", title, image)
    else:
        plot(watch, float, "frame", title, image)
    report(watch, title, args.results)
    return 0 if watch.is_flat() else 1


if __name__ == "__main__":
    sys.exit(main())
