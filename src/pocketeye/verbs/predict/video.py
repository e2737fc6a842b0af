"""Run ``pocketeye predict`` with videos: what is in each frame, drawn, in tables, linked to tracks."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.markup import escape

from pocketeye.data import SUFFIXES
from pocketeye.data.files.patterns import has_pattern, matches
from pocketeye.data.files.sources import walk
from pocketeye.data.video.names import is_video_name
from pocketeye.devices import Device
from pocketeye.errors import InvalidValue
from pocketeye.models.reference import Run, resolve
from pocketeye.models.task import Task
from pocketeye.predicting.dense import open_dense_predictor
from pocketeye.predicting.files import save_csv
from pocketeye.predicting.predictor import Predictor
from pocketeye.predicting.video import ClassLook, Look, SeenFrames, look_for_objects
from pocketeye.text import path_end, text_table
from pocketeye.tracking import open_video, open_writer, write_all
from pocketeye.tracking.batch.targets import require_free
from pocketeye.tracking.batch.videos import NamedVideo, find_videos, go_through
from pocketeye.tracking.io.source import is_address
from pocketeye.tracking.io.write import FPS, opened
from pocketeye.tracking.linking import link_boxes
from pocketeye.verb_result import Prediction

_NOTHING = "nothing"  # is found in a video


@dataclass(frozen=True, kw_only=True)
class PredictedVideo:
    """Hold what was found in one video.

    Attributes:
        found: what was seen, for a person: how many tracks, or the classes and how often.
    """

    video: str
    num_frames: int
    seconds: float
    found: str
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True)
class VideoPredictResult(Prediction):
    """Hold videos in the order they were named, and a sentence about each that could not be read."""

    model: str
    task: Task
    device: str
    videos: tuple[PredictedVideo, ...]
    failed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "task": self.task.name,
            "videos": [
                {
                    "video": row.video,
                    "num_frames": row.num_frames,
                    "ms_per_frame": round(1000 * row.seconds / max(row.num_frames, 1), 3),
                    "found": row.found,
                    "files": [str(path) for path in row.files],
                }
                for row in self.videos
            ],
            "failed": list(self.failed),
        }

    def lines(self) -> list[str]:
        rows = [(path_end(row.video, 40), str(row.num_frames), row.found) for row in self.videos]
        lines = text_table(("video", "frames", "found"), rows, right=(1,))
        frames = sum(row.num_frames for row in self.videos)
        ms = 1000 * sum(row.seconds for row in self.videos) / max(frames, 1)
        lines.append(
            f"{frames} frames: {ms:.1f} ms per frame, {1000 / ms:.1f} fps, measured here on "
            f"{self.device}"
        )
        if self.failed:
            total = len(self.failed) + len(self.videos)
            lines.append(f"[yellow]{len(self.failed)} of {total} videos failed[/yellow]:")
            lines += [f"  {escape(sentence)}" for sentence in self.failed]
        return lines

    def written(self) -> list[Path]:
        return [path for row in self.videos for path in row.files]

    def next_commands(self) -> list[str]:
        if self.task.finds_objects:
            found = [row for row in self.videos if row.found != _NOTHING]
            if not found:  # nothing to follow either
                return []
            video = shlex.quote(found[0].video)
            return [f"pocketeye track {video} --detect {shlex.quote(self.model)}"]
        if isinstance(resolve(self.model), Run):
            return [f"pocketeye export {shlex.quote(self.model)}"]
        return []

    @property
    def exit_code(self) -> int:
        """Return 1 where a video failed, else 0."""
        return 1 if self.failed else 0


def names_videos(named: Sequence[Any]) -> bool:
    """Return whether names are of videos: files, folders and patterns of them, addresses of streams.

    A folder with an image in it, and a GIF, are images here.

    Raises:
        InvalidValue: some are, and some are not.
    """
    # By name alone: opening each to look would take long.
    marks = [isinstance(name, str | Path) and _names_video(str(name)) for name in named]
    if any(marks) and not all(marks):
        video, other = named[marks.index(True)], named[marks.index(False)]
        raise InvalidValue(
            f"{video} is a video and {other} is none: give videos and images to commands of their own"
        )
    return any(marks)


def _names_video(name: str) -> bool:
    path = Path(name)
    if path.is_dir():
        suffixes = {Path(inside).suffix.lower() for inside, _ in walk(path)}
        # Frames of a video as images, and a folder of clips, look alike but for the suffixes.
        return not suffixes & SUFFIXES and any(is_video_name(f"x{s}") for s in suffixes)
    if is_address(name):
        web = name.lower().startswith("http")
        return not web or _is_video_file(Path(urlsplit(name).path))
    if has_pattern(name):
        found = matches(name)
        return bool(found) and all(_is_video_file(match) for match in found)
    return _is_video_file(path)


def _is_video_file(path: Path) -> bool:
    return is_video_name(path) and path.suffix.lower() not in SUFFIXES


def predict_videos(
    model: str,
    task: Task,
    named: Sequence[Any],
    *,
    classifier: Predictor | None,
    topk: int,
    smooth: int,
    score_threshold: float,
    out: Path | None,
    overwrite: bool,
    device: Device,
    threads: int,
) -> VideoPredictResult:
    """See :func:`pocketeye.verbs.predict.verb.predict`; ``classifier`` is open where it is one."""
    folder = out or Path("out") / "predict" / Path(model).resolve().name
    videos = find_videos(named)
    suffixes = (".mp4", ".csv", *([".txt"] if task.finds_objects else []))
    # All outputs are known before the first video is read.
    targets = {v.name: tuple(folder / f"{v.name}{suffix}" for suffix in suffixes) for v in videos}
    if not overwrite:
        require_free([path for paths in targets.values() for path in paths])
    dense = None
    if classifier is None:
        dense = open_dense_predictor(model, device=device, threads=threads)

    def watch(video: NamedVideo) -> PredictedVideo:
        look: Look
        if dense is None:
            assert classifier is not None
            look = ClassLook(classifier, topk=topk, smooth=smooth)
        else:
            look = look_for_objects(dense, score_threshold)
        return _predict(video, look, task, targets[video.name])

    done, failed = go_through(videos, watch)
    used = getattr(dense or classifier, "device", "cpu")  # artefacts run on the processor
    return VideoPredictResult(
        model=model, task=task, device=str(used), videos=tuple(done), failed=tuple(failed)
    )


def _predict(
    video: NamedVideo, look: Look, task: Task, targets: tuple[Path, ...]
) -> PredictedVideo:
    # a classifier's table has a row per frame, not per object
    drawn = [p for p in targets if not (isinstance(look, ClassLook) and p.suffix == ".csv")]
    with open_video(video.source) as frames:
        seen = SeenFrames(frames, look)
        fps = frames.fps or FPS
        makers = [partial(open_writer, path, fps=fps, overwrite=True) for path in drawn]
        tally = _Tally()
        with opened(makers) as writers:
            write_all(tally.of(link_boxes(seen) if task.finds_objects else seen), writers)
    if isinstance(look, ClassLook):
        save_csv(look.predictions, next(p for p in targets if p.suffix == ".csv"), "frame")
    return PredictedVideo(
        video=video.said, num_frames=seen.num_frames, seconds=seen.seconds,
        found=tally.text(task), files=targets,
    )  # fmt: skip


class _Tally:
    """Count classes on the way: tracks of each, or frames with each."""

    def __init__(self) -> None:
        self._seen: dict[str, set[int]] = {}

    def of(self, results: Iterable[Any]) -> Iterable[Any]:
        for frame, result in enumerate(results):
            for number, label in zip(result.ids, result.labels or (), strict=True):
                known = frame if result.frame is None else number
                self._seen.setdefault(label, set()).add(known)
            yield result

    def text(self, task: Task) -> str:
        most = sorted(self._seen.items(), key=lambda item: -len(item[1]))
        if task.finds_objects:
            return ", ".join(f"{len(ids)} {label}" for label, ids in most[:4]) or _NOTHING
        return ", ".join(f"{label} in {len(frames)} frames" for label, frames in most[:3])
