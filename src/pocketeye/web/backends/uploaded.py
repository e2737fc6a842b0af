"""Track through the frames that a program uploaded."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from PIL import Image

from pocketeye.data.files import DECODER_ERRORS, no_comments
from pocketeye.errors import InvalidValue
from pocketeye.outputs import scratch_folder
from pocketeye.tracking.io.source import open_video
from pocketeye.tracking.video.tracked import TrackedFrame
from pocketeye.web.backends.images import MOST_PIXELS
from pocketeye.web.backends.model import BackendModel

_OBJECT = 1  # the program asks for one at a time
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}


class UploadedVideo:
    """Hold frames in files of a folder that goes with it, and a session with them.

    They are decoded when they are looked at: as pixels they would take many times as much memory.

    Args:
        model: tracks.
        frames: encoded images of one size, in order.

    Raises:
        InvalidValue: no frame, or one that is no image.
    """

    def __init__(self, model: BackendModel, frames: Sequence[bytes]) -> None:
        if not frames:
            raise InvalidValue("a video without frames")
        self._model, self.num_frames = model, len(frames)
        self._turn = threading.Lock()
        with ExitStack() as stack:
            folder = stack.enter_context(scratch_folder())
            for number, encoded in enumerate(frames):
                name = f"{number:06d}{_suffix(encoded, number)}"
                (folder / name).write_bytes(encoded)
            video = stack.enter_context(open_video(folder))
            self._session = stack.enter_context(model.tracker.open(video))
            self._closing = stack.pop_all()

    def close(self) -> None:
        """Forget the session and its frames."""
        with self._turn:
            self._closing.close()

    def prompt(self, frame: int, shares: Sequence[Any], labels: Sequence[int]) -> TrackedFrame:
        """Show the object by points, in shares of the frame; those of an earlier prompt are replaced.

        Raises:
            InvalidValue: no such frame, or points outside of it.
        """
        with self._turn, self._model.lock:
            width, height = self._session.size or (1, 1)
            points = [[x * width, y * height] for x, y in shares]
            if _OBJECT in self._session.object_ids:
                self._session.reset()  # a new object has no memory of the one before
            return self._session.add(_OBJECT, frame=frame, points=points, labels=labels)

    def tracked(self, start: int | None) -> Iterator[TrackedFrame]:
        """Yield the frames from the prompted one on; others may compute between two of them.

        Raises:
            InvalidValue: nothing was shown, or no such frame.
        """
        with self._turn:
            steps = self._session.run(start)
            while True:
                with self._model.lock:
                    found = next(steps, None)
                if found is None:
                    return
                yield found


def _suffix(encoded: bytes, number: int) -> str:
    """Return the suffix of an image by its first bytes.

    Raises:
        InvalidValue: no image, or one of too many pixels.
    """
    try:
        with no_comments(), Image.open(io.BytesIO(encoded)) as image:
            kind, (width, height) = image.format, image.size
    except DECODER_ERRORS as error:
        raise InvalidValue(f"frame {number} is no image") from error
    if kind not in _SUFFIXES or width * height > MOST_PIXELS:
        raise InvalidValue(f"frame {number} is a {kind} of {width}x{height}, which is not taken")
    return _SUFFIXES[kind]
