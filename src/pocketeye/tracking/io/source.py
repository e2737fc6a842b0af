"""Open anything that can be watched, as :class:`Frames`."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image

from pocketeye.data.files.decode import SUFFIXES
from pocketeye.data.files.patterns import has_pattern, matches
from pocketeye.data.video.animated import AnimatedImage, is_animated
from pocketeye.data.video.av import decode, prepare, to_rgb, video_track
from pocketeye.data.video.frames import FrameList, Frames, FrameStream, ImageFiles
from pocketeye.data.video.video import VideoFile
from pocketeye.errors import InvalidType, InvalidValue, MissingFile, nearest
from pocketeye.reading import can_exist
from pocketeye.tracking.io.camera import camera_input

_ADDRESS = re.compile(r"^(https?|rtsp|rtmp|tcp|udp|srt)://", re.IGNORECASE)


def open_video(source: Any, *, fps: float | None = None) -> Frames:
    """Open a video, whatever it is.

    Args:
        source: path of a video file; a folder of images or a glob of them, in natural order of
            their names (``2.jpg`` before ``10.jpg``); the number of a camera; an address
            (``rtsp://``, ``http://``); a sequence of uint8 arrays ``(height, width, 3)`` or PIL
            images; a generator of these, read once.
        fps: frames a second where the source does not say (images, arrays).

    Raises:
        MissingFile: nothing there. InvalidType: nothing that can be opened.
        InvalidValue: empty, damaged, or not a video.
    """
    if isinstance(source, Frames):
        return source
    if isinstance(source, bool) or source is None:
        raise InvalidType(f"a video is a path, a camera's number or frames, got {source!r}")
    if isinstance(source, int):
        return _open_camera(source)
    if isinstance(source, str | Path):
        return _open_name(str(source), fps)
    if isinstance(source, Image.Image):
        return FrameList([source], fps)
    if isinstance(source, np.ndarray):
        if source.ndim != 4:
            raise InvalidValue(
                f"an array of frames has the shape (frames, height, width, 3), got {source.shape}"
            )
        return FrameList(list(source), fps)  # views, not copies
    if isinstance(source, Sequence):
        if source and all(isinstance(item, str | Path) for item in source):
            return ImageFiles("the given images", [_existing(p) for p in source], fps)
        return FrameList(source, fps)
    if isinstance(source, Iterable):
        return FrameStream(source, fps=fps)
    raise InvalidType(
        f"a video is a path, a camera's number or frames, got {type(source).__name__}"
    )


def is_address(name: str) -> bool:
    """Return whether a name is the address of a stream, as FFmpeg takes them."""
    return _ADDRESS.match(name) is not None


def natural_key(name: str) -> tuple[list[tuple[bool, int, str]], str]:
    """Sort ``frame2`` before ``frame10``."""
    parts = re.findall(r"\d+|\D+", name)
    numbers = [(False, int(p), "") if p.isdecimal() else (True, 0, p.lower()) for p in parts]
    return numbers, name


def _open_name(name: str, fps: float | None) -> Frames:
    if is_address(name):
        return _open_address(name)
    path = Path(name)
    if not can_exist(path):
        raise MissingFile(
            f"there is no video {name[:60]}…: a name of {len(name)} characters is none"
        )
    if path.is_dir():
        return _open_folder(path, fps)
    if path.is_file():
        return _open_file(path, fps)
    if has_pattern(name):
        images = [p for p in matches(name) if p.is_file() and _is_image(p)]
        if not images:
            raise MissingFile(f"no image matches {name}")
        return ImageFiles(name, sorted(images, key=lambda p: natural_key(str(p))), fps)
    if name.isdecimal():
        return _open_camera(int(name))
    _existing(path)
    raise InvalidValue(f"{name} is neither a file nor a folder")


def _open_file(path: Path, fps: float | None) -> Frames:
    if not _is_image(path):
        return VideoFile(path)
    return AnimatedImage(path, fps) if is_animated(path) else ImageFiles(path.name, [path], fps)


def _open_folder(folder: Path, fps: float | None) -> ImageFiles:
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    images = sorted((p for p in files if _is_image(p)), key=lambda p: natural_key(p.name))
    if not images:
        other = sorted(p.name for p in files)[:3]
        inside = f"only {', '.join(other)}" if other else "no files"
        raise InvalidValue(f"the folder {folder} holds no images ({inside})")
    return ImageFiles(folder.name or str(folder), images, fps)


def _open_camera(number: int) -> FrameStream:
    file, form, options = camera_input(number)
    return _open_live(f"camera {number}", file, form, options)


def _open_address(address: str) -> FrameStream:
    return _open_live(address, address, None, {})


def _open_live(name: str, file: str, form: str | None, options: dict[str, str]) -> FrameStream:
    try:
        container = av.open(file, format=form, options=options, timeout=(10.0, 30.0))
    except FFmpegError as error:
        raise InvalidValue(f"{name} cannot be opened: {error.strerror}") from error
    try:
        prepare(container, name)
    except InvalidValue:
        container.close()
        raise
    rate = video_track(container).average_rate

    def frames() -> Generator[np.ndarray]:
        with container:
            for image in decode(container, name):
                yield to_rgb(image)

    return FrameStream(frames(), name, float(rate) if rate else None)


def _is_image(path: Path) -> bool:
    # a GIF may move: PyAV shows all of its frames
    return path.suffix.lower() in SUFFIXES - {".gif"}


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if path.exists():
        return path
    siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = nearest(path.name, siblings)
    guess = f" Did you mean {path.parent / close}?" if close else ""
    raise MissingFile(f"there is no file or folder {path}.{guess}")
