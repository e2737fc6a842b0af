"""Say what was found in videos: for a person, for ``--json``, and what to do next."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.models.task import Task
from pocketeye.text import counted, path_end, text_table
from pocketeye.verb_result import Prediction
from pocketeye.verbs._next import onwards

NOTHING = "nothing"  # is found in a video


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
            f"{counted(frames, 'frame')}: {ms:.1f} ms per frame, {1000 / ms:.1f} fps, measured here on "
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
            found = [row for row in self.videos if row.found != NOTHING]
            if not found:  # nothing to follow either
                return []
            video = shlex.quote(found[0].video)
            return [f"pocketeye track {video} --detect {shlex.quote(self.model)}"]
        return onwards(self.model)

    @property
    def exit_code(self) -> int:
        """Return 1 where a video failed, else 0."""
        return 1 if self.failed else 0
