"""What a training clip costs to make, for each kind of data.

    python benchmarks/clip_data.py ../shared/datasets --out clip_data.json

One thread; the clock is the CPU time of the process, which other processes do not add to (the
record holds the wall time too). Of each source ``--warm-up`` clips are drawn first, so that what is
kept decoded is there; the memory is what the process holds at the end of that source beyond what it
held before.

images    annotated images, one frame
videos      clips of annotated videos, eight frames
synthetic   cut-outs on moving images, eight frames, out of all sets
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import psutil
import torch

from pocketeye.data.clips.clips import ClipSource
from pocketeye.data.clips.images import ImageClips
from pocketeye.data.clips.synthetic import SyntheticClips, SyntheticOptions
from pocketeye.data.clips.videos import VideoClips, VideoFrames, VideoSampling
from pocketeye.data.mask_sets.samples import load_masks
from pocketeye.data.vos.layouts import load_videos
from pocketeye.provenance import cpu_name, now


def sources(root: Path, size: int, num_frames: int) -> dict[str, ClipSource]:
    coco, ccp = load_masks(root / "coco-mini", "train"), load_masks(root / "ccp")
    davis = load_videos(root / "davis2016-train", "train")
    galleries = [(coco, 1.0), (ccp, 1.0), (VideoFrames(davis), 1.0)]
    sharp = SyntheticOptions(blurred=0.0)
    return {
        "images (COCO)": ImageClips(coco, size=size),
        "images (ccp)": ImageClips(ccp, size=size),
        "videos (DAVIS)": VideoClips(
            davis, 1000, size=size, sampling=VideoSampling(num_frames=num_frames)
        ),
        "synthetic": SyntheticClips(galleries, 1000, size=size, num_frames=num_frames),
        "synthetic, no motion blur": SyntheticClips(
            galleries, 1000, size=size, num_frames=num_frames, options=sharp
        ),
    }


def measure(source: ClipSource, warm_up: int, clips: int) -> dict[str, float]:
    process = psutil.Process()
    before = process.memory_info().rss
    for index in range(warm_up):
        source[index]
    cpu, wall = [], []
    for index in range(warm_up, warm_up + clips):
        start = time.process_time(), time.perf_counter()
        source[index]
        cpu.append(1e3 * (time.process_time() - start[0]))
        wall.append(1e3 * (time.perf_counter() - start[1]))
    p10, p50, p90 = np.percentile(cpu, (10, 50, 90)).tolist()
    return {
        "mean_ms": float(np.mean(cpu)), "p10_ms": p10, "p50_ms": p50, "p90_ms": p90,
        "wall_mean_ms": float(np.mean(wall)), "clips": clips,
        "memory_mb": (process.memory_info().rss - before) / 1e6,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="folder of coco-mini, ccp and davis2016-train")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--warm-up", type=int, default=200)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("clip_data.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("| source | frames | ms per clip: mean | p50 | p90 | memory, MB |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, source in sources(arguments.root, arguments.size, arguments.frames).items():
        row = measure(source, arguments.warm_up, arguments.clips)
        num_frames = len(source[0].frames)
        rows.append({"source": name, "frames": num_frames, **row})
        print(f"| {name} | {num_frames} | {row['mean_ms']:.0f} | {row['p50_ms']:.0f} "
              f"| {row['p90_ms']:.0f} | {row['memory_mb']:.0f} |")  # fmt: skip
    record = {
        "benchmark": "clip_data", "date": now(), "cpu": cpu_name(), "threads": 1,
        "clock": "process CPU", "torch": torch.__version__, "size": arguments.size, "rows": rows,
    }  # fmt: skip
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
