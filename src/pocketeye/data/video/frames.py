"""Give frames one after another or by number, whatever they come from; never all of them in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.closing import Closing
from pocketeye.data.files import UnreadableImage, decode
from pocketeye.data.files.arrays import rgb_of
from pocketeye.errors import InvalidType, InvalidValue

CACHE_BYTES = 64 * 2**20
"""Ten frames of full HD (6.2 MB each): going backwards, what was decoded on the way is wanted next."""


class Frames(Closing, ABC):
    """Give a video as uint8 RGB arrays ``(height, width, 3)``, all of one size, numbered from 0.

    Iterating starts at frame 0 each time, except for streams, whose frames come once.

    Attributes:
        name: what messages and files call it.
        size: (width, height), upright.
        fps: frames a second, or None where nothing says so.
    """

    name: str
    size: tuple[int, int]
    fps: float | None = None

    @property
    @abstractmethod
    def num_frames(self) -> int | None:
        """Return the number of frames; None where only the end will tell."""

    @abstractmethod
    def __iter__(self) -> Iterator[np.ndarray]: ...

    @abstractmethod
    def __getitem__(self, index: int) -> np.ndarray:
        """Return frame ``index``; a negative one counts from the end.

        Raises:
            InvalidValue: there is no such frame (the allowed ones are named).
        """

    def close(self) -> None:
        """Give back files and devices."""
        return

    def _position(self, index: int) -> int:
        """Return ``index`` counted from the start.

        Raises:
            InvalidValue: outside the video.
        """
        if not isinstance(index, int | np.integer):
            raise InvalidType(f"frames are taken one by one, by number, got {index!r}")
        count = self.num_frames
        assert count is not None  # streams number their frames themselves
        if not -count <= index < count:
            raise InvalidValue(
                f"{self.name} has no frame {index}: its {count} frames are 0 to {count - 1}"
            )
        return index % count  # -1 is the last frame, as in a list


class Cache:
    """Keep the frames used last, within a number of bytes; the newest one is always kept."""

    def __init__(self, max_bytes: int = CACHE_BYTES) -> None:
        self._frames: OrderedDict[int, np.ndarray] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0

    def get(self, index: int) -> np.ndarray | None:
        frame = self._frames.get(index)
        if frame is not None:
            self._frames.move_to_end(index)
        return frame

    def put(self, index: int, frame: np.ndarray) -> None:
        if index in self._frames:
            return
        self._frames[index] = frame
        self._bytes += frame.nbytes
        while self._bytes > self._max_bytes and len(self._frames) > 1:
            self._bytes -= self._frames.popitem(last=False)[1].nbytes

    def room_for(self, frame_bytes: int) -> int:
        """Return how many frames of that size the buffer holds."""
        return max(1, self._max_bytes // max(frame_bytes, 1))

    @property
    def span(self) -> tuple[int, int] | None:
        """Lowest and highest number kept."""
        return (min(self._frames), max(self._frames)) if self._frames else None


class ImageFiles(Frames):
    """Image files in the order given, decoded when asked for."""

    def __init__(self, name: str, paths: Sequence[Path], fps: float | None = None) -> None:
        self.name, self.paths, self.fps = name, tuple(paths), fps
        self._cache = Cache()
        self.size = _size_of(self._read(0))

    @property
    def num_frames(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(len(self.paths)):
            yield self._checked(index)

    def __getitem__(self, index: int) -> np.ndarray:
        position = self._position(index)
        frame = self._cache.get(position)
        if frame is None:
            frame = self._checked(position)
            self._cache.put(position, frame)
        return frame

    def _checked(self, index: int) -> np.ndarray:
        frame = self._read(index)
        check_size(f"{self.name}: {self.paths[index].name}", frame, self.size)
        return frame

    def _read(self, index: int) -> np.ndarray:
        try:
            return np.asarray(decode(self.paths[index]))
        except UnreadableImage as error:
            raise InvalidValue(
                f"frame {index} of {self.name} cannot be read: {self.paths[index].name}: {error}"
            ) from error


class FrameList(Frames):
    """Give arrays or PIL images that are in memory already."""

    def __init__(self, frames: Sequence[Any], fps: float | None = None) -> None:
        self.name, self.fps = "the given frames", fps
        self._frames = frames
        if not len(frames):
            raise InvalidValue("there are no frames in the given sequence")
        self.size = _size_of(rgb_of(frames[0], "frame 0"))

    @property
    def num_frames(self) -> int:
        return len(self._frames)

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(len(self._frames)):
            yield self[index]

    def __getitem__(self, index: int) -> np.ndarray:
        position = self._position(index)
        frame = rgb_of(self._frames[position], f"frame {position}")
        check_size(f"frame {position}", frame, self.size)
        return frame


class FrameStream(Frames):
    """Give frames that come once and in order: a generator, a camera, a network stream.

    The last frames stay within reach by number; asking for one ahead waits until it has come.
    """

    def __init__(
        self, frames: Iterable[Any], name: str = "the stream", fps: float | None = None
    ) -> None:
        self.name, self.fps = name, fps
        self._source = iter(frames)
        self._cache = Cache()
        self._next = 0
        self._ended = False
        first = self._pull()
        if first is None:
            raise InvalidValue(f"{name} ended before its first frame")
        self._unread: np.ndarray | None = first
        self.size = _size_of(first)

    @property
    def num_frames(self) -> int | None:
        return self._next if self._ended else None

    def __iter__(self) -> Iterator[np.ndarray]:
        if self._unread is not None:  # frame 0 was taken to learn the size
            first, self._unread = self._unread, None
            yield first
        while (frame := self._pull()) is not None:
            yield frame

    def __getitem__(self, index: int) -> np.ndarray:
        while index >= self._next and self._pull() is not None:
            pass
        frame = self._cache.get(index) if index >= 0 else None
        if frame is None:
            kept = self._cache.span
            assert kept is not None  # the first frame was read
            raise InvalidValue(
                f"frame {index} of {self.name} is not within reach: a stream keeps only its last "
                f"frames, now {kept[0]} to {kept[1]}"
            )
        return frame

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()

    def _pull(self) -> np.ndarray | None:
        item = next(self._source, None)
        if item is None:
            self._ended = True
            return None
        frame = rgb_of(item, f"frame {self._next} of {self.name}")
        if self._next:
            check_size(f"frame {self._next} of {self.name}", frame, self.size)
        self._cache.put(self._next, frame)
        self._next += 1
        return frame


def check_size(what: str, frame: np.ndarray, size: tuple[int, int]) -> None:
    """Raise InvalidValue unless ``frame`` has the (width, height) the video began with."""
    if _size_of(frame) != size:
        width, height = _size_of(frame)
        raise InvalidValue(
            f"{what} is {width}x{height}, but the video began with {size[0]}x{size[1]}: "
            "all frames must have one size"
        )


def _size_of(frame: np.ndarray) -> tuple[int, int]:
    return frame.shape[1], frame.shape[0]
