"""``pocketeye track``: follow objects through a video from a click."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.text import file_stem, text_table
from pocketeye.tracking import (
    load_tracker,
    open_video,
    open_writer,
    write_all,
)
from pocketeye.tracking.open_model import DEFAULT
from pocketeye.tracking.video.confidence import doubts_of_rows
from pocketeye.tracking.video.frame_prompts import FramePrompt, parse_prompts
from pocketeye.tracking.video.prompted import WatchedFrames, require_frames
from pocketeye.verbs._result import VerbResult

_FPS = 25.0  # of images, where nothing says so


@dataclass(frozen=True, kw_only=True)
class TrackResult(VerbResult):
    """What was found in every frame.

    Attributes:
        frames: ``{"frame": n, "objects": [{"id", "score", "confidence", "x", "y", "width", "height",
            "area"}]}``; ``confidence`` is None of a tracker whose masks nobody checked.
        seconds: spent on reading and tracking, not on writing.
    """

    video: str
    model: str
    size: tuple[int, int]
    frames: tuple[dict[str, Any], ...]
    seconds: float
    files: tuple[Path, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def ms_per_frame(self) -> float:
        return 1000 * self.seconds / len(self.frames)

    def to_dict(self) -> dict[str, Any]:
        return {
            "video": self.video,
            "model": self.model,
            "size": list(self.size),
            "num_frames": len(self.frames),
            "ms_per_frame": round(self.ms_per_frame, 3),
            "fps": round(1000 / self.ms_per_frame, 3),
            "doubts": [str(doubt) for doubt in self.doubts],
            "frames": list(self.frames),
            "files": list(self.files),
        }

    def lines(self) -> list[str]:
        seen: dict[int, list[tuple[int, dict[str, Any]]]] = {}
        for frame in self.frames:
            for row in frame["objects"]:
                seen.setdefault(row["id"], []).append((frame["frame"], row))
        table = []
        for object_id, rows in sorted(seen.items()):
            there = [(number, row) for number, row in rows if row["area"]]
            span = f"{there[0][0]} to {there[-1][0]}" if there else "none"
            area = sum(row["area"] for _, row in there) / max(len(there), 1)
            sure = [row["confidence"] for _, row in rows if row["confidence"] is not None]
            table.append(
                [
                    str(object_id),
                    f"{len(there)} of {len(rows)}",
                    span,
                    f"{area:.0f}",
                    f"{sum(sure) / len(sure):.2f}" if sure else "-",
                ]
            )
        header = ["object", "seen in frames", "from", "mean area (px)", "confidence"]
        width, height = self.size
        return [
            *text_table(header, table, right=(0, 1, 3, 4)),
            *doubt_lines(self.doubts),
            f"{len(self.frames)} frames of {width}x{height}: {self.ms_per_frame:.1f} ms per frame, "
            f"{1000 / self.ms_per_frame:.1f} fps",
        ]

    @property
    def doubts(self) -> list[Doubt]:
        """In which frames which object is likely lost, as far as that can be told."""
        return doubts_of_rows(self.frames)

    def written(self) -> list[Path]:
        return list(self.files)

    def next_commands(self) -> list[str]:
        suffixes = {path.suffix.lower() for path in self.files}
        for suffix in (".mp4", ".json"):  # to look at, to go on with
            if suffix not in suffixes:
                target = Path("out") / "track" / f"{_stem(self.video)}{suffix}"
                return [shlex.join([*self.command, "--out", str(target)])]
        return []


def track(
    video: str,
    *,
    point: list[str] | None = None,
    box: str | None = None,
    frame: int = 0,
    object: list[str] | None = None,
    model: str = DEFAULT,
    checkpoint: Path | None = None,
    out: list[Path] | None = None,
    form: Literal["labels", "overlay", "cutout"] | None = None,
    fps: float | None = None,
    overwrite: bool = False,
    max_prompted_maps: int = 8,
    hole_area: int = 8,
    non_overlapping: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    dtype: Literal["float32", "bfloat16"] = "float32",
) -> TrackResult:
    """Follow objects through a video from a click.

    Args:
        video: a video file, a folder of images, a pattern in quotes, or the number of a camera.
        point: x,y on object 1, in pixels; x,y:0 beside it; may be repeated.
        box: x0,y0,x1,y1 round object 1.
        frame: where these are seen.
        object: a point of any object in any frame, as 2:x,y@50, or its box as 2:x0,y0,x1,y1@50; may
            be repeated. In a frame where the object is tracked already it is a correction.
        model: a tracker from `pocketeye list`, or the folder of a run that trained one; by default
            ours, whose weights come along.
        checkpoint: its weights; by default its own, those that come along, or the published file,
            where it was put.
        out: file or folder to write, may be repeated: .mp4 .mkv (drawn), .webm .mov (on transparency),
            .json (COCO), .txt (MOT), a folder (PNGs); out/track/NAME.mp4 by default.
        form: of the images in a folder.
        fps: frames a second of a written video, where the source does not say (25).
        overwrite: replace what was written before.
        max_prompted_maps: prompted frames that an object keeps in memory.
        hole_area: fill holes up to this many pixels of the network's masks.
        non_overlapping: give each pixel to one object at most.
        device: where the network runs.
        dtype: bfloat16 computes under autocast.

    Raises:
        MissingFile: no such video, or no weights (the sentence says what to put where).
        InvalidValue: a prompt outside of the video, or files that would be overwritten.
    """
    targets = out or [Path("out") / "track" / f"{_stem(video)}.mp4"]
    prompts = parse_prompts(point or [], box, frame, object or [])
    with open_video(video, fps=fps) as frames:
        require_frames(frames, prompts)
        tracker = load_tracker(model, checkpoint, device=device, dtype=dtype)
        session = tracker.open(
            frames, max_prompted_maps=max_prompted_maps, hole_area=hole_area,
            non_overlapping=non_overlapping,
        )  # fmt: skip
        outputs = [
            open_writer(path, form if not path.suffix else None, fps=frames.fps or fps or _FPS,
                        name=frames.name, overwrite=overwrite)
            for path in targets
        ]  # fmt: skip
        watched = WatchedFrames(session, prompts)
        write_all(watched, outputs)
        return TrackResult(
            video=video, model=model, size=frames.size, frames=tuple(watched.rows),
            seconds=watched.seconds, files=tuple(output.path for output in outputs),
            command=_command(video, prompts, model, checkpoint),
        )  # fmt: skip


def _stem(video: str) -> str:
    """A file name for what comes of a video, folder, pattern, camera or address."""
    return file_stem(Path(video.rstrip("/")).stem) or "video"


def _command(
    video: str, prompts: Sequence[FramePrompt], model: str, checkpoint: Path | None
) -> tuple[str, ...]:
    """The same again, without its outputs."""
    words = ["pocketeye", "track", video]
    for prompt in prompts:
        for place in prompt.words():
            words += ["--object", place]
    words += ["--model", model] if model != DEFAULT else []
    words += ["--checkpoint", str(checkpoint)] if checkpoint else []
    return tuple(words)
