"""Yield the frames of a video between two numbers, in either direction."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from pocketeye.data.video.frames import Frames, FrameStream
from pocketeye.errors import InvalidValue


def frames_between(
    video: Frames, start: int, stop: int | None, reverse: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield numbers and frames, as by ``range(start, stop, -1 if reverse else 1)``.

    Args:
        stop: None for the video's end. A stream ends where it does, also before ``stop``.
    """
    if start or reverse or isinstance(video, FrameStream):
        yield from _by_number(video, start, stop, reverse)
        return
    # Read in one go, a file that is cut short ends where it does, with a warning.
    yield from itertools.islice(enumerate(video), stop)


def _by_number(
    video: Frames, start: int, stop: int | None, reverse: bool
) -> Iterator[tuple[int, np.ndarray]]:
    step = -1 if reverse else 1
    numbers = itertools.count(start, step) if stop is None else range(start, stop, step)
    for number in numbers:
        try:
            image = video[number]
        except InvalidValue:
            # The count was learnt while reading: the stream ended here.
            if video.num_frames is not None and number >= video.num_frames:
                return
            raise
        yield number, image
