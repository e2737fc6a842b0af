"""A follower whose answers are known: the truth, moved by as much as a test says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pocketeye.closing import Closing
from pocketeye.data.vos.sequences import VideoSequence
from pocketeye.results import Masks, Result
from pocketeye.tracking.evaluation.follow import truth_of


class MovedTruth:
    """Opens sessions over ``clip`` that answer with the true masks, moved right.

    Args:
        by: pixels, by frame; 0 where not named. A frame that is corrected is right from then on.
    """

    def __init__(self, clip: VideoSequence, by: dict[int, int] | None = None) -> None:
        self.clip, self.by = clip, dict(by or {})
        self.prompts: list[dict[str, Any]] = []
        self.passes = 0
        self.clicks_needed = 1

    def open(self, source: Any = None) -> _Session:
        assert source.num_frames == self.clip.num_frames
        return _Session(self)


class _Session(Closing):
    def __init__(self, follower: MovedTruth) -> None:
        self.follower = follower
        self._clicks: dict[int, int] = {}

    def add(self, object_id: int, **given: Any) -> Result:
        follower = self.follower
        follower.prompts.append(
            {"id": object_id, **{k: v for k, v in given.items() if v is not None}}
        )
        frame = given["frame"]
        self._clicks[frame] = self._clicks.get(frame, 0) + 1
        if self._clicks[frame] >= follower.clicks_needed:
            follower.by.pop(frame, None)
        return self._result(frame)

    def run(self, start: int | None = None, stop: int | None = None) -> Iterator[Result]:
        assert start is not None
        self.follower.passes += 1
        for frame in range(start, self.follower.clip.num_frames):
            yield self._result(frame)

    def _result(self, frame: int) -> Result:
        clip, by = self.follower.clip, self.follower.by.get(frame, 0)
        ids = [i for i, first in clip.first_frames.items() if first <= frame]
        masks = [np.roll(truth_of(clip, frame, i), by, 1) for i in ids]
        dense = np.stack(masks) if masks else np.zeros((0, clip.size[1], clip.size[0]), bool)
        found = Masks.from_dense(dense) if masks else Masks(size=clip.size, items=())
        return Result(size=clip.size, masks=found, object_ids=ids, frame=frame)


class Blind(MovedTruth):
    """Answers with empty masks, whatever it is shown."""

    def open(self, source: Any = None) -> _Session:
        return _BlindSession(self)


class _BlindSession(_Session):
    def _result(self, frame: int) -> Result:
        seen = super()._result(frame)
        assert seen.masks is not None
        nothing = Masks.from_dense(np.zeros_like(seen.masks.dense()))
        return Result(size=seen.size, masks=nothing, object_ids=seen.object_ids, frame=frame)
