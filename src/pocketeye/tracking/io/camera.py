"""Say how each system names its cameras to FFmpeg."""

from __future__ import annotations

import sys
from pathlib import Path

import av

from pocketeye.errors import InvalidValue


def camera_input(number: int) -> tuple[str, str, dict[str, str]]:
    """Return file, format and options that open camera ``number`` (0 is the first).

    Raises:
        InvalidValue: no such camera, or no way to reach cameras from here.
    """
    if number < 0:
        raise InvalidValue(f"cameras are numbered from 0, got {number}")
    if sys.platform == "darwin":
        return str(number), _supported("avfoundation"), {"framerate": "30"}
    if sys.platform == "win32":
        return _directshow(number), _supported("dshow"), {}
    device = Path(f"/dev/video{number}")
    if not device.exists():
        found = sorted(str(p) for p in Path("/dev").glob("video[0-9]*"))
        there = f"there are {', '.join(found)}" if found else "no camera is connected"
        raise InvalidValue(f"there is no camera {number} ({device} does not exist; {there})")
    return str(device), _supported("video4linux2,v4l2"), {}


def _directshow(number: int) -> str:
    _supported("dshow")
    cameras = [
        d.name for d in av.device.enumerate_input_devices("dshow") if "video" in d.media_types
    ]
    if number >= len(cameras):
        raise InvalidValue(f"there is no camera {number}; found: {', '.join(cameras) or 'none'}")
    return f"video={cameras[number]}"


def _supported(form: str) -> str:
    if form not in av.formats_available:
        raise InvalidValue(
            f"this build of PyAV cannot reach cameras (it lacks {form}): record a video file and "
            "open that, or give frames from a generator"
        )
    return form.partition(",")[0]
