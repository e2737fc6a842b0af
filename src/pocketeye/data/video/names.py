"""Tell which files are videos, by their names."""

from __future__ import annotations

from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    (
        ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2v", ".ts", ".mts",
        ".m2ts", ".vob", ".3gp", ".3g2", ".ogv", ".ogg", ".flv", ".f4v", ".wmv", ".asf", ".mxf", ".dv",
        ".y4m", ".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".obu", ".mjpeg", ".mjpg", ".gif",
    )
)  # fmt: skip
"""Containers and bare streams of FFmpeg that hold pictures. A GIF may move, so it is one of them."""


def is_video_name(path: str | Path) -> bool:
    """Return whether a name has the ending of a video, in upper or lower case."""
    return Path(path).suffix.lower() in VIDEO_SUFFIXES
