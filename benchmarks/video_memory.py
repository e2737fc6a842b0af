"""Resident memory while a long video is read, drawn on and written: it must not grow.

    python benchmarks/video_memory.py [--frames 2000] [--video FILE]

Without a video a 1280x720 H.264 clip is made first. Reads it in order, then backwards and at random
by number, then draws three objects and writes four forms, and prints the resident memory every tenth
of the way. Exits with 1 where the second half of a pass grew by more than 30 MB, eleven frames of
that size (the allocator's share; 2,000 kept frames would be 5 GB).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import numpy as np
import psutil

from pocketeye.provenance import cpu_name
from pocketeye.results import Masks, Result
from pocketeye.tracking import Frames, open_video, open_writer

LIMIT_MB = 30.0


def make_clip(path: Path, count: int) -> Path:
    y, x = np.mgrid[:720, :1280]
    base = np.stack([x // 5 % 256, y // 3 % 256, (x + y) // 8 % 256], -1).astype(np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "bf": "2"}
        )
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for i in range(count):
            image = av.VideoFrame.from_ndarray(np.roll(base, 4 * i, 1))
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def watch(title: str, steps: Iterator[object], count: int) -> bool:
    """Run through ``steps`` and print memory; whether it stayed flat."""
    seen = []
    start = time.perf_counter()
    for i, _ in enumerate(steps, 1):
        if i % max(count // 10, 1) == 0:
            seen.append(resident_mb())
    took_ms = 1e3 * (time.perf_counter() - start) / max(count, 1)
    grown = max(seen[len(seen) // 2 :]) - seen[len(seen) // 2 - 1]
    print(f"{title}: {took_ms:.1f} ms a frame; MB resident " + " ".join(f"{mb:.0f}" for mb in seen))
    return grown <= LIMIT_MB


def results(video: Frames) -> Iterator[Result]:
    width, height = video.size
    for number, image in enumerate(video):
        masks = np.zeros((3, height, width), bool)
        for k in range(3):
            left = (number * 3 + k * width // 3) % (width - 200)
            masks[k, 100 + 60 * k : 400 + 60 * k, left : left + 200] = True
        yield Result(size=video.size, masks=Masks.from_dense(masks), image=image, frame=number)


def written(video: Frames, folder: Path) -> Iterator[Result]:
    names = ("out.mp4", "out.webm", "out.json", "out.txt")
    with ExitStack() as stack:
        writers = [stack.enter_context(open_writer(folder / name, fps=25)) for name in names]
        for result in results(video):
            for writer in writers:
                writer.write(result)
            yield result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--random", type=int, default=200, help="frames taken by random number")
    args = parser.parse_args()
    flat = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_video(args.video or make_clip(folder / "clip.mp4", args.frames)) as video:
            count = video.num_frames
            assert count is not None
            anywhere = random.Random(0).choices(range(count), k=args.random)
            print(f"{cpu_name()}: {video.size[0]}x{video.size[1]}, {count} frames")
            flat += [
                watch("in order", iter(video), count),
                watch("by number, backwards", (video[i] for i in range(count - 1, -1, -1)), count),
                watch("by number, at random", (video[i] for i in anywhere), args.random),
                watch("drawn and written in four forms", written(video, folder), count),
            ]
    print("flat" if all(flat) else f"grew by more than {LIMIT_MB} MB")
    return 0 if all(flat) else 1


if __name__ == "__main__":
    sys.exit(main())
