"""Say what ``pocketeye track`` found in the videos it went through."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from pocketeye.doubts import doubt_lines
from pocketeye.text import counted, file_stem, some, text_table
from pocketeye.verb_result import VerbResult

if TYPE_CHECKING:  # torch would come along
    from pocketeye.tracking.batch.record import TrackedVideo

_MOST_OBJECTS = 12  # lines of the table of one video


@dataclass(frozen=True, kw_only=True)
class TrackResult(VerbResult):
    """Hold what was found in every video.

    Attributes:
        videos: that were tracked, with what was found in each frame.
        failed: a sentence about each video that could not be tracked.
        shown: images of frames with their coordinates, where these were asked for.
        command: the same again, without its outputs.
    """

    model: str
    videos: tuple[TrackedVideo, ...] = ()
    failed: tuple[str, ...] = ()
    shown: tuple[Path, ...] = ()
    command: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "videos": [video.to_dict() for video in self.videos],
            "failed": list(self.failed),
            "files": [str(path) for path in self.written()],
        }

    def lines(self) -> list[str]:
        lines = _table(self.videos[0]) if len(self.videos) == 1 else _tables(self.videos)
        lines += self._doubt_lines()
        # What was finished before took no time now.
        tracked = [video for video in self.videos if not video.resumed]
        if tracked:
            frames = sum(len(video.frames) for video in tracked)
            ms = 1000 * sum(video.seconds for video in tracked) / max(frames, 1)
            width, height = tracked[0].size
            of = f"{width}x{height}" if len({video.size for video in tracked}) == 1 else "all sizes"
            lines.append(
                f"{counted(frames, 'frame')} of {of}: {ms:.1f} ms per frame, {1000 / ms:.1f} fps, "
                f"measured here on {tracked[0].device}"
            )
        resumed = len(self.videos) - len(tracked)
        if resumed:
            lines.append(f"{resumed} of {len(self.videos)} finished before: not tracked again")
        if self.failed:
            total = len(self.failed) + len(self.videos)
            lines.append(f"[yellow]{len(self.failed)} of {total} videos failed[/yellow]:")
            lines += [f"  {escape(sentence)}" for sentence in self.failed]
        if self.shown:
            lines.append("read x along the top, y along the side, and point with --point x,y")
        return lines

    def _doubt_lines(self) -> list[str]:
        """Say each doubt once, with the videos that it is about."""
        about: dict[str, list[str]] = {}
        for video in self.videos:
            for doubt in video.doubts:
                about.setdefault(str(doubt), []).append(video.video)
        if len(self.videos) == 1:
            return doubt_lines(about)
        return doubt_lines(f"{some(names)}: {doubt}" for doubt, names in about.items())

    def written(self) -> list[Path]:
        return [*(path for video in self.videos for path in video.files), *self.shown]

    def next_commands(self) -> list[str]:
        if self.shown:
            return [shlex.join([*self.command, "--point", "X,Y"])]
        suffixes = {path.suffix.lower() for path in self.written()}
        for suffix in (".mp4", ".json"):  # to look at, to go on with
            if suffix not in suffixes and self.videos:
                named = file_stem(Path(self.videos[0].video.rstrip("/")).stem) or "video"
                # Several videos need a folder, not a file.
                stem = named if len(self.videos) == 1 else "tracks"
                target = Path("out") / "track" / f"{stem}{suffix}"
                return [shlex.join([*self.command, "--out", str(target)])]
        return []

    @property
    def exit_code(self) -> int:
        """Return 1 where a video failed: the others were tracked."""
        return 1 if self.failed else 0


_HEADER = ("object", "seen in frames", "from", "mean area (px)", "confidence")


def _table(video: TrackedVideo) -> list[str]:
    """Say of each object of a video where it was seen."""
    seen: dict[int, list[tuple[int, dict[str, Any]]]] = {}
    for frame in video.frames:
        for row in frame["objects"]:
            seen.setdefault(row["id"], []).append((frame["frame"], row))
    table = []
    for object_id, rows in sorted(seen.items()):
        # An object out of sight has an empty mask.
        there = [(number, row) for number, row in rows if row["area"]]
        span = f"{there[0][0]} to {there[-1][0]}" if there else "none"
        area = sum(row["area"] for _, row in there) / max(len(there), 1)
        # Weights that nobody measured have no confidence.
        sure = [row["confidence"] for _, row in rows if row["confidence"] is not None]
        label = rows[0][1].get("label")
        table.append(
            (
                f"{object_id} {label}" if label else str(object_id),
                f"{len(there)} of {len(rows)}",
                span,
                f"{area:.0f}",
                f"{sum(sure) / len(sure):.2f}" if sure else "-",
            )
        )
    numbers_only = all(row[0].isdigit() for row in table)
    right = (0, 1, 3, 4) if numbers_only else (1, 3, 4)
    lines = text_table(_HEADER, table[:_MOST_OBJECTS], right=right)
    if len(table) > _MOST_OBJECTS:
        lines.append(f"… and {len(table) - _MOST_OBJECTS} more (all with --json)")
    return lines


def _tables(videos: Sequence[TrackedVideo]) -> list[str]:
    """Say of each of several videos how many objects were seen in how many frames."""
    rows = []
    for video in videos:
        ids = {row["id"] for frame in video.frames for row in frame["objects"]}
        seen = sum(any(row["area"] for row in frame["objects"]) for frame in video.frames)
        rows.append((video.video, f"{len(video.frames)}", f"{len(ids)}", f"{seen}"))
    if not rows:
        return []
    return text_table(("video", "frames", "objects", "with one in sight"), rows, right=(1, 2, 3))
