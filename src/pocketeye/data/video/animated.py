"""Animated images as videos: WebP, PNG (APNG), AVIF, and TIFF of several pages."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pocketeye.data.files import DECODER_ERRORS, no_comments, to_mode, turned_upright
from pocketeye.data.video.frames import Cache, Frames
from pocketeye.errors import InvalidValue

logger = logging.getLogger(__name__)

# Not MPO: its further images are previews, or the view of a second lens. GIFs move through PyAV.
_TIMED = 16  # frames whose durations are read: more would decode the whole file to open it
_FORMATS = ("WEBP", "PNG", "AVIF", "TIFF")


class AnimatedImage(Frames):
    """Read the frames of one file that Pillow reads, all of the first one's size.

    Attributes:
        fps: by the mean duration of the first frames, where the file says one.
    """

    def __init__(self, path: Path, fps: float | None = None) -> None:
        self.path, self.name = path, path.name
        self._cache = Cache()
        self._image: Image.Image | None = None
        self._stored: tuple[int, int] | None = None
        with no_comments(), Image.open(path) as image:
            # The still image of an APNG, for programs that do not animate, is none of its frames.
            self._first = int(bool(image.info.get("default_image")))
            self._count = getattr(image, "n_frames", 1) - self._first
        self.fps = fps
        first = self[0]
        self.size = first.shape[1], first.shape[0]
        if fps is None:
            self.fps = self._rate()

    @property
    def num_frames(self) -> int:
        """Return the number of frames the file lists, less those that turned out not to decode."""
        return self._count

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(self._count):
            try:
                yield self[index]
            except InvalidValue as error:
                logger.warning("%s; %d of its %d frames are used", error, index, self._count)
                self._count = index
                return

    def __getitem__(self, index: int) -> np.ndarray:
        position = self._position(index)
        frame = self._cache.get(position)
        if frame is None:
            frame = self._read(position)
            self._cache.put(position, frame)
        return frame

    def close(self) -> None:
        if self._image is not None:
            self._image.close()
            self._image = None

    def _read(self, position: int) -> np.ndarray:
        what = f"frame {position} of {self.name}"
        try:
            with no_comments():
                image = self._seek(position)
                stored, first = image.size, self._stored or image.size
                self._stored = first
                if stored != first:  # before it is decoded, as only the first was looked at
                    raise InvalidValue(
                        f"{what} is {stored[0]}x{stored[1]}, but the video began with "
                        f"{first[0]}x{first[1]}: all frames must have one size"
                    )
                return np.asarray(to_mode(turned_upright(image), 3))
        except DECODER_ERRORS as error:
            raise InvalidValue(f"{what} cannot be decoded: {error}") from error

    def _seek(self, position: int) -> Image.Image:
        if self._image is None:
            self._image = Image.open(self.path)
            weakref.finalize(self, self._image.close)  # for those who never close
        self._image.seek(position + self._first)
        return self._image

    def _rate(self) -> float | None:
        """Return frames a second by the durations, in ms, that the first frames have."""
        durations = []
        try:
            with no_comments():
                for position in range(min(self._count, _TIMED)):
                    image = self._seek(position)
                    image.load()  # WebP and AVIF know the duration of a frame that is decoded
                    durations.append(float(image.info.get("duration") or 0))
        except DECODER_ERRORS:
            pass  # the frames before tell it as well
        mean = sum(durations) / max(len(durations), 1)
        return 1000 / mean if mean > 0 else None


def is_animated(path: Path) -> bool:
    """Tell whether a file is an image of several frames."""
    try:
        with no_comments(), Image.open(path, formats=_FORMATS) as image:
            return getattr(image, "n_frames", 1) - bool(image.info.get("default_image")) > 1
    except DECODER_ERRORS:
        return False
