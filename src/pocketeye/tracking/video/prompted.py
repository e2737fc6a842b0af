"""Follow the objects of a request through a video."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pocketeye import progress
from pocketeye.results import Result
from pocketeye.tracking.io.write_coco import UNNAMED
from pocketeye.tracking.video.frame_prompts import Request
from pocketeye.tracking.video.session import Session
from pocketeye.tracking.video.tracked import TrackedFrame


class WatchedFrames:
    """Iterate over the results of a session, doing what was asked when its frame comes.

    Args:
        resumed: the frame at which a session goes on that remembers those before it; None: it begins.
        stop: the frame before which to stop, where that is before the request's.

    Attributes:
        rows: of each frame so far, ``{"frame": n, "objects": [{"id", "label", "score", …}]}``.
        seconds: spent on reading and tracking, not on writing.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        resumed: int | None = None,
        stop: int | None = None,
    ) -> None:
        self.session, self.request = session, request
        self._resumed, self._stop = resumed, request.stop if stop is None else stop
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Result]:
        video, request = self.session.video, self.request
        assert video is not None
        stop = video.num_frames if self._stop is None else self._stop
        start = request.start if self._resumed is None else self._resumed
        total = None if stop is None else stop - start
        with progress.task(f"tracking {video.name}", total) as bar:
            results = self._results()
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

    def _results(self) -> Iterator[Result]:
        request, video = self.request, self.session.video
        assert video is not None
        first = request.prompts[0].frame
        # An object that appears later must not be known before: its prompt waits for its frame.
        for prompt in request.prompts:
            if prompt.frame == first and self._resumed is None:
                prompt.add_to(self.session)
        # A stream cannot go back to what it has shown before the first prompt.
        start = first if video.num_frames is None else request.start
        for result in self.session.run(
            start if self._resumed is None else self._resumed, self._stop
        ):
            number = result.frame
            assert number is not None
            for prompt in request.prompts:
                if prompt.frame == number > first:
                    result = prompt.add_to(self.session)
            yield self._named(result)
            for object_id, frame in request.removals.items():
                if frame == number + 1:
                    self.session.remove(object_id)

    def _named(self, result: TrackedFrame) -> Result:
        names = self.request.names
        if not names:
            return result
        return replace(result, labels=[names.get(number, UNNAMED) for number in result.ids])


def _row(result: Result) -> dict[str, Any]:
    keys = ("id", "label", "score", "confidence", "x", "y", "width", "height", "area")
    rows = [{key: row.get(key) for key in keys} for row in result.table()]
    return {"frame": result.frame, "objects": rows}
