"""Open, decode and turn upright with PyAV, alike for files, cameras and network streams."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Generator
from pathlib import Path

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pocketeye.errors import InvalidValue
from pocketeye.reading import open_regular

logger = logging.getLogger(__name__)

# HLS, concat, SDP; DASH is XML. Whoever wrote such a text says what is opened here.
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"[playlist]")
_HEAD = 1024  # bytes in which they show


def open_video_track(path: Path) -> InputContainer:
    """Open a file that has a video track with a decoder.

    Raises:
        InvalidValue: empty, not a video, no video track, or an unknown codec.
    """
    _require_no_playlist(path)
    try:
        container = av.open(path)
    except FFmpegError as error:
        raise InvalidValue(
            f"{path.name} cannot be read as a video: it is none, or it is cut short "
            f"({error.strerror})"
        ) from error
    try:
        prepare(container, path.name)
    except InvalidValue:
        container.close()
        raise
    return container


def _require_no_playlist(path: Path) -> None:
    """Refuse a text that makes FFmpeg open other files and addresses, and what is no file."""
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InvalidValue(f"{path.name} cannot be read: {error.strerror or error}") from error
    if not head:
        raise InvalidValue(f"{path.name} is empty")
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith(_PLAYLISTS) or (start.startswith(b"<") and b"<MPD" in head):
        raise InvalidValue(
            f"{path.name} is a playlist, which names other files, and no video: give the video itself"
        )


def prepare(container: InputContainer, name: str) -> None:
    """Raise InvalidValue where there is nothing to decode."""
    tracks = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not tracks:
        if not len(container.streams):
            raise InvalidValue(f"{name} is a container with nothing in it: no track, no frame")
        kinds = " and ".join(sorted({stream.type for stream in container.streams} - {"video"}))
        raise InvalidValue(f"{name} has no video track, only {kinds or 'a still image'}")
    if tracks[0].codec_context is None:
        raise InvalidValue(
            f"{name} is in a codec that PyAV cannot decode here: convert it to H.264 first"
        )
    # Threads over slices: over frames they lose the frames in flight when one is damaged.
    tracks[0].codec_context.thread_type = ThreadType.SLICE


def video_track(container: InputContainer) -> VideoStream:
    """Return the first track that is not the cover image of a song."""
    return next(stream for stream in container.streams.video if not _is_cover(stream))


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def decode(
    container: InputContainer, name: str, *, after: int | None = None
) -> Generator[VideoFrame]:
    """Decode images in the order of presentation.

    Damaged packets are passed over. A damaged image with others behind it is used as the decoder
    mends it, with a warning; at the end of the file it is left out.

    Args:
        container: opened, at the start or after a jump.
        name: for messages.
        after: time stamp of the keyframe jumped to; images before it are broken by the jump and
            left out.
    """
    held: VideoFrame | None = None
    for image in _images(container, name):
        if after is not None and (image.pts is None or image.pts < after):
            continue
        if held is not None:
            logger.warning("%s: the image at %s s is damaged", name, f"{held.time:.3f}")
            yield held
        # A damaged image waits until another comes: the last of a file may be cut off.
        held = image if image.is_corrupt else None
        if held is None:
            yield image


def _images(container: InputContainer, name: str) -> Generator[VideoFrame]:
    track = video_track(container)
    try:
        for packet in container.demux(track):
            try:
                yield from packet.decode()
            except FFmpegError as error:
                logger.debug("%s: a packet at %s: %s", name, packet.pts, error)
    except FFmpegError as error:
        logger.debug("%s: reading ended: %s", name, error)


def to_rgb(image: VideoFrame) -> np.ndarray:
    """Convert to uint8 RGB ``(height, width, 3)``, turned upright as the file says."""
    frame = image.to_ndarray(format="rgb24")
    turns = round(image.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(frame, turns)) if turns else frame
