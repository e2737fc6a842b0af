"""Follow the objects of a list of prompts through a video."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from pocketeye import progress
from pocketeye.data.video.frames import Frames
from pocketeye.errors import InvalidValue
from pocketeye.results import Result
from pocketeye.tracking import Session, TrackedFrame
from pocketeye.tracking.video.frame_prompts import FramePrompt


class WatchedFrames:
    """Iterate over the results of a session, giving each prompt when its frame comes.

    Attributes:
        rows: of each frame so far, its number and the objects found, ready for JSON.
        seconds: spent in tracking so far, without what the caller does between frames.
    """

    def __init__(self, session: Session, prompts: Sequence[FramePrompt]) -> None:
        self.session = session
        self.prompts = prompts
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Result]:
        video = self.session.video
        assert video is not None
        with progress.task(f"tracking {video.name}", video.num_frames) as bar:
            results = self._results(video)
            while True:
                began = time.perf_counter()
                result = next(results, None)  # timed alone: the caller draws and writes in between
                took = time.perf_counter() - began
                if result is None:
                    return
                self.seconds += took
                self.rows.append(_row(result))
                bar.advance()
                mean = self.seconds / len(self.rows)
                bar.note(f"{1000 * took:.0f} ms per frame, {1 / mean:.1f} fps")
                yield result

    def _results(self, video: Frames) -> Iterator[TrackedFrame]:
        first = self.prompts[0].frame
        # An object that appears later must not be known before: its prompt waits for its frame.
        for prompt in self.prompts:
            if prompt.frame == first:
                prompt.add_to(self.session)
        # A stream cannot go back to what it has shown before the first prompt.
        start = first if video.num_frames is None else 0
        for result in self.session.run(start):
            assert result.frame is not None
            for prompt in self.prompts:
                if prompt.frame == result.frame > first:
                    result = prompt.add_to(self.session)
            yield result


def _row(result: TrackedFrame) -> dict[str, Any]:
    keys = ("id", "score", "x", "y", "width", "height", "area")
    rows = [{key: row[key] for key in keys} for row in result.table()]
    return {"frame": result.frame, "objects": rows}


def require_frames(video: Frames, prompts: Sequence[FramePrompt]) -> None:
    """Check that the video has the frames of all prompts, as far as its length is known.

    Raises:
        InvalidValue: a prompt is for a frame after the last one.
    """
    count = video.num_frames
    last = prompts[-1].frame
    if count is not None and last >= count:
        raise InvalidValue(
            f"{video.name} has no frame {last} to prompt in: its {count} frames are 0 to {count - 1}"
        )
