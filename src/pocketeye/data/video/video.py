"""Video files through PyAV: decoded on demand, every frame exact, upright.

Frames are numbered in the order of presentation. A frame by number is found by its time stamp: the
file is read once without decoding to list them, then decoding starts at the last keyframe before.
"""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType, VideoFrame

from pocketeye.data.video.av import decode, open_video_track, to_rgb, video_track
from pocketeye.data.video.frames import Cache, Frames, check_size
from pocketeye.data.video.video_index import FrameIndex, read_index
from pocketeye.errors import InvalidValue

logger = logging.getLogger(__name__)


class VideoFile(Frames):
    """Read a video file of any container and codec the PyAV build knows.

    A frame number means the same in iteration and in ``video[i]``. Where the file is cut short,
    the frames that decode whole are used and a warning names the first one that does not.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self._cache = Cache()
        self._index: FrameIndex | None = None
        self._cursor: _Cursor | None = None
        self._last = -1
        with open_video_track(path) as container:
            track = video_track(container)
            rate = track.average_rate or track.guessed_rate
            self.fps = float(rate) if rate else None
            first = next(decode(container, self.name), None)
            if first is None:
                raise InvalidValue(
                    f"{self.name} has a video track but no frame of it can be decoded"
                )
            self._first_stamp = first.pts
            height, width = to_rgb(first).shape[:2]
        self.size = width, height

    @property
    def num_frames(self) -> int:
        """Return the number of frames in the file's list, less those that turned out not to decode."""
        return len(self._stamps().stamps)

    def __iter__(self) -> Iterator[np.ndarray]:
        decoded = array("q")
        with open_video_track(self.path) as container:
            for image in decode(container, self.name):
                frame = self._checked(image, len(decoded))
                decoded.append(image.pts if image.pts is not None else len(decoded))
                yield frame
        self._note_decoded(decoded)

    def __getitem__(self, index: int) -> np.ndarray:
        position = self._position(index)
        frame = self._cache.get(position)
        if frame is None:
            frame = self._find(position)
        self._last = position
        return frame

    def close(self) -> None:
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _find(self, position: int) -> np.ndarray:
        """Decode on from where the cursor is, or from the keyframe before ``position``."""
        cursor = self._cursor_before(position)
        # Going backwards, the frames before are wanted next; forwards they are not.
        backwards = position < self._last
        keep = self._cache.room_for(3 * self.size[0] * self.size[1]) if backwards else 1
        for image in cursor:
            at = cursor.position
            if position - keep < at <= position:
                frame = self._checked(image, at)
                self._cache.put(at, frame)
                if at == position:
                    return frame
            if at > position:
                break
        self.close()
        raise InvalidValue(
            f"frame {position} of {self.name} cannot be decoded: the file is damaged or cut short there"
        )

    def _cursor_before(self, position: int) -> _Cursor:
        index, cursor = self._stamps(), self._cursor
        while True:
            key = index.key_before(position)
            if cursor is not None and cursor.position < position:
                reached = index.stamps[max(cursor.position, 0)]
                if key is None or key <= reached:  # no keyframe between: decode on
                    return cursor
            entered = _Cursor(self.path, index, key)
            if entered.exact:
                self.close()
                self._cursor = entered
                return entered
            entered.close()
            assert key is not None  # from the start decoding is exact
            index.keys.remove(key)

    def _stamps(self) -> FrameIndex:
        if self._index is None:
            self._index = read_index(self.path, self._first_stamp)
        return self._index

    def _checked(self, image: VideoFrame, index: int) -> np.ndarray:
        frame = to_rgb(image)
        check_size(f"frame {index} of {self.name}", frame, self.size)
        return frame

    def _note_decoded(self, decoded: array[int]) -> None:
        """Take the frames that came out for the list, where some that it names did not."""
        index = self._stamps()
        listed = len(index.stamps)
        if len(decoded) < listed:
            lost = next((i for i, s in enumerate(decoded) if s != index.stamps[i]), len(decoded))
            logger.warning(
                "%s: frame %d cannot be decoded, the file is damaged or cut short: "
                "%d of its %d frames are used",
                self.name, lost if index.exact else len(decoded), len(decoded), listed,
            )  # fmt: skip
            index.stamps = decoded


class _Cursor:
    """Decode images from a keyframe on, or from the start where ``key`` is None.

    ``position`` is the number of the last one; ``exact`` says whether the file can be entered there.
    """

    def __init__(self, path: Path, index: FrameIndex, key: int | None) -> None:
        self._container, self._stamps = open_video_track(path), index.stamps
        self._counting = key is None
        self._first: VideoFrame | None = None
        self.position = -1
        landed = None if key is None else self._land(key, index)
        self._images = decode(self._container, path.name, after=landed)
        self.exact = key is None or (landed is not None and self._begins_whole(landed))

    def __iter__(self) -> Iterator[VideoFrame]:
        first, self._first = self._first, None
        for image in self._images if first is None else chain([first], self._images):
            if self._counting:
                self.position += 1
            else:
                assert image.pts is not None  # else the index is not exact
                at = bisect_left(self._stamps, image.pts)
                if at == len(self._stamps) or self._stamps[at] != image.pts:
                    continue
                self.position = at
            yield image

    def close(self) -> None:
        self._images.close()
        self._container.close()

    def _land(self, key: int, index: FrameIndex) -> int | None:
        """Jump to the keyframe at ``key`` or one before; its stamp, or None where jumps fail."""
        # A transport stream is searched by bytes and may be entered one keyframe late.
        for target in reversed(index.keys[: bisect_right(index.keys, key)][-3:]):
            landed = self._seek(target)
            if landed is not None and landed <= key:
                return landed
        return None

    def _begins_whole(self, landed: int) -> bool:
        """Tell whether the first image after the jump is the keyframe, and a whole one."""
        self._first = next(self._images, None)
        if self._first is None or self._first.pts != landed:
            return False
        # With intra refresh a "keyframe" mends itself over the next images.
        return self._first.pict_type == PictureType.I

    def _seek(self, target: int) -> int | None:
        """Return the stamp of the keyframe the container jumps to for ``target``."""
        track = video_track(self._container)
        try:
            self._container.seek(target, stream=track)
            for packet in self._container.demux(track):
                if packet.is_keyframe and packet.pts is not None:
                    self._container.seek(target, stream=track)
                    return packet.pts
        except FFmpegError:
            return None
        return None
