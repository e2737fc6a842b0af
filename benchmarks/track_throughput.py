"""Many videos by one and by two workers: frames a second, what a video costs besides, memory.

    python benchmarks/track_throughput.py --results results/track-throughput-<device>
    python benchmarks/track_throughput.py --results … --cluster auto     # the same by a Ray cluster

Writes clips of noise with a disc that goes round, and tracks the disc by a click: in this process one
after the other, then as ``pocketeye track --jobs`` does with one worker and with two, of a thread each.
Then a manifest of a million rows is made, opened and changed. What is measured lies in --work until all
is there, so an interrupted benchmark goes on with what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from pocketeye.jobs.manifest import NAME, Manifest, VideoRow
from pocketeye.jobs.many import LOG, track_many
from pocketeye.jobs.serving import ONE_THREAD
from pocketeye.jobs.spec import TrackSpec
from pocketeye.jobs.videos import NamedVideo
from pocketeye.provenance import cpu_name, environment
from pocketeye.runs import write_atomic
from pocketeye.tracking.video.frame_prompts import Request, parse_prompts

SIZE = (640, 360)
_POINT = "512,180"  # in the disc of the first frame


def spec_for(folder: Path, network: str) -> TrackSpec:
    return TrackSpec(
        model=network, checkpoint=None, device="cpu", dtype="float32", engine="auto", detect=None,
        classes=(), score_threshold=None, frame=0, out=(folder / "out.json",), overwrite=True,
        request=Request(prompts=parse_prompts([_POINT], None, 0, [])), form="coco",
    )  # fmt: skip


class Peak:
    """Watch the resident memory of the processes that this one has started."""

    def __init__(self) -> None:
        self.mb: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            for child in psutil.Process().children(recursive=True):
                try:
                    mb = child.memory_info().rss / 2**20
                except psutil.Error:
                    continue
                self.mb[child.pid] = max(mb, self.mb.get(child.pid, 0))

    def workers(self, count: int) -> list[float]:
        """The largest ones: beside workers multiprocessing starts a small helper."""
        return sorted(self.mb.values(), reverse=True)[:count]


def alone(videos: list[Path], folder: Path, network: str) -> dict[str, Any]:
    """One after the other in this process: what a video takes without a manifest and workers."""
    job = spec_for(folder, network).one_thread_job()
    took = []
    for video in videos:
        began = time.perf_counter()
        job.one(NamedVideo(source=str(video), said=str(video), name=video.stem))
        took.append(time.perf_counter() - began)
    # The first one warms up.
    return {"seconds_per_video": sum(took[1:]) / len(took[1:])}


def shared(
    videos: list[Path], folder: Path, network: str, num_workers: int, cluster: str | None
) -> dict[str, Any]:
    """By a manifest; times are those of its log, from the first video that is done on."""
    rows = [VideoRow(source=str(video), asked={}) for video in videos]
    with Peak() as peak:
        found = track_many(
            rows, folder / "out", spec_for(folder, network).one_thread_job,
            num_workers=num_workers, settings={}, overwrite=True, cluster=cluster,
        )  # fmt: skip
    assert found.counts["done"] == len(videos), found.failed
    log = [json.loads(line) for line in (folder / "out" / LOG).read_text("utf-8").splitlines()]
    done = [
        datetime.fromisoformat(row["time"]).timestamp() for row in log if row["state"] == "done"
    ]
    # Every worker has loaded and done one: from then on they do nothing but videos.
    began = num_workers - 1
    seconds = done[-1] - done[began]
    count = len(done) - 1 - began
    return {
        "num_workers": num_workers, "seconds": found.seconds, "frames": found.frames,
        "steady_seconds_per_video": seconds / count,
        "steady_fps": count * found.frames / len(done) / seconds,
        "mb_per_worker": [] if cluster else peak.workers(num_workers),
    }  # fmt: skip


def manifest(folder: Path, count: int) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    began = time.perf_counter()
    with Manifest(folder, {}) as made:
        made.add(
            VideoRow(source=f"clips/{n // 1000}/{n}.mp4", asked={"point": ["1,2"]})
            for n in range(count)
        )
    made_s = time.perf_counter() - began
    began = time.perf_counter()
    with Manifest(folder, {}) as opened:
        opened_s = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(100):
            row = opened.take()
            assert row is not None
            opened.done(row.number, 1, 0.1)
        update_ms = 10 * (time.perf_counter() - began)
    found = {
        "rows": count, "made_s": made_s, "opened_s": opened_s, "ms_per_video": update_ms,
        "mb": (folder / NAME).stat().st_size / 2**20,
    }  # fmt: skip
    shutil.rmtree(folder)
    return found


def measured(kept: Path, parts: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    """Measure what is not kept from an earlier start."""
    record: dict[str, Any] = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    for name, measure in parts.items():
        if name not in record:
            print(f"measuring {name}")
            record[name] = measure()
            write_atomic(kept, json.dumps(record, indent=1) + "\n")
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("out/bench/track-throughput"))
    parser.add_argument("--network", default="pocketeye_tam_nano")
    parser.add_argument("--videos", type=int, default=13, help="an odd number: two share the rest")
    parser.add_argument("--frames", type=int, default=100, help="of each video")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the manifest")
    parser.add_argument("--cluster", help="auto or HOST:PORT: the workers are those of Ray")
    args = parser.parse_args()
    # Not at the top, which workers import: torch is no part of what they need.
    from tables import write_results
    from tables_tracking import track_throughput
    from tracking_memory import write_video

    os.environ.update(ONE_THREAD)
    work = args.work.absolute()
    (work / "clips").mkdir(parents=True, exist_ok=True)
    videos = [work / "clips" / f"{n:02d}.mp4" for n in range(args.videos)]
    for video in videos:
        if not video.exists():
            write_video(video, args.frames, SIZE, 25)
    run = partial(shared, videos, network=args.network, cluster=args.cluster)
    record = measured(
        work / "measured.json",
        {
            "alone": lambda: alone(videos[:5], work / "alone", args.network),
            "one": lambda: run(folder=work / "one", num_workers=1),
            "two": lambda: run(folder=work / "two", num_workers=2),
            "short": lambda: manifest(work / "short", 1000),
            "long": lambda: manifest(work / "long", args.rows),
        },
    )
    record |= {
        "network": args.network, "num_videos": args.videos, "num_frames": args.frames, "size": SIZE,
        "cluster": args.cluster, "environment": environment(),
        "caption": f"{args.network}, {args.videos} videos of {args.frames} frames, {SIZE[0]}x{SIZE[1]}, "
        f"one object, COCO with its frames; {'Ray, ' if args.cluster else ''}{cpu_name()}, one thread "
        "for each worker.",
    }  # fmt: skip
    write_results(args.results, record, track_throughput)
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
