"""Prompt a follower in an annotated clip, as the evaluations of SAM 2 do.

``semi``: shown once, in each object's first frame, then one pass. ``offline``: pass after pass, and
after each one clicks in the frame where the object's mask is worst. ``online``: one pass that stops at
frames where the mask is poor, to click. (SAM 2, arXiv 2408.00714, section 6.1 and appendix F.1.)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pocketeye.data.video.frames import Frames
from pocketeye.data.vos.sequences import VideoSequence
from pocketeye.errors import InvalidValue
from pocketeye.metrics import error_click, region_similarity
from pocketeye.results import CompactMask, Result
from pocketeye.tracking.evaluation.vos_models import FollowSession, VosModel

PromptKind = Literal["mask", "click", "3-clicks", "box"]
Protocol = Literal["semi", "offline", "online"]
MAX_FRAMES = 8  # SAM 2's, as are 3 clicks per frame and the IoU of 0.75
CLICKS: dict[PromptKind, int] = {"mask": 0, "click": 1, "3-clicks": 3, "box": 0}


@dataclass(frozen=True, kw_only=True, slots=True)
class VosPlan:
    """Say how objects are shown.

    Attributes:
        prompt: in the first frame; a click is in the middle of the object, the second and third in the
            largest mistake that is left.
        protocol: what comes then.
        max_frames: frames in which an object may be shown or corrected, the first one included.
        clicks_per_frame: in each frame that is corrected.
        poor: an IoU below which ``online`` stops.
    """

    prompt: PromptKind = "mask"
    protocol: Protocol = "semi"
    max_frames: int = MAX_FRAMES
    clicks_per_frame: int = 3
    poor: float = 0.75

    def __post_init__(self) -> None:
        if self.max_frames < 1:
            raise InvalidValue(f"an object is shown in 1 frame or more, got {self.max_frames}")


@dataclass(kw_only=True)
class Followed:
    """Hold what came of a clip.

    Attributes:
        masks: by annotated frame, then by object; one that is not there is empty.
        seconds: of reading frames, showing and following.
        num_frames: frames followed, of all passes.
        corrected: frames in which each object was shown or corrected.
        clicks: on each object.
    """

    masks: dict[int, dict[int, CompactMask]] = field(default_factory=dict)
    seconds: float = 0.0
    num_frames: int = 0
    corrected: dict[int, set[int]] = field(default_factory=dict)
    clicks: dict[int, int] = field(default_factory=dict)


class ClipFrames(Frames):
    """Give the frames of a clip as a session reads them."""

    def __init__(self, clip: VideoSequence) -> None:
        self.name, self.size, self._clip = clip.name, clip.size, clip

    @property
    def num_frames(self) -> int:
        return self._clip.num_frames

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in range(self.num_frames):
            yield self._clip.frame(index)

    def __getitem__(self, index: int) -> np.ndarray:
        return self._clip.frame(self._position(index))


def follow_clip(
    follower: VosModel, clip: VideoSequence, plan: VosPlan, advance: Callable[[], None]
) -> Followed:
    """Show the objects of a clip and follow them.

    Args:
        advance: called after each frame.

    Raises:
        InvalidValue: a frame cannot be read, or a prompt the follower does not take.
    """
    with follower.open(ClipFrames(clip)) as session:
        run = _ClipEvaluation(session, clip, plan, advance)
        run.show_first()
        run.one_pass()
        if plan.protocol == "offline":
            for _ in range(1, plan.max_frames):
                # Without a mistake left another pass would give the same masks.
                if not run.correct_worst():
                    break
                run.one_pass()
        return run.done


class _ClipEvaluation:
    """Keep the course of an evaluation of one clip: the session, and what came of it so far."""

    def __init__(
        self,
        session: FollowSession,
        clip: VideoSequence,
        plan: VosPlan,
        advance: Callable[[], None],
    ) -> None:
        self.session, self.clip, self.plan, self.advance = session, clip, plan, advance
        self.done = Followed()

    def show_first(self) -> None:
        for object_id, frame in self.clip.first_frames.items():
            truth = self._truth(frame, object_id)
            self.done.corrected[object_id], self.done.clicks[object_id] = {frame}, 0
            if self.plan.prompt == "mask":
                with self._clock():
                    self.session.add(object_id, frame=frame, mask=truth)
            elif self.plan.prompt == "box":
                # The exact box, without noise, so that results can be repeated.
                box = [float(side) for side in CompactMask.from_dense(truth).box]
                with self._clock():
                    self.session.add(object_id, frame=frame, box=box)
            else:
                # Against nothing the largest mistake is the object: the first click is in its middle.
                nothing = np.zeros_like(truth)
                self._click(object_id, frame, nothing, truth, CLICKS[self.plan.prompt])

    def one_pass(self) -> None:
        """Follow to the end; the masks of earlier passes are forgotten."""
        self.done.masks = {}
        annotated = set(self.clip.annotated)
        # From the first object on: the session itself leaves out those not yet shown.
        results = self.session.run(min(self.clip.first_frames.values()))
        while True:
            # The follower alone is timed: reading truth and scoring are ours.
            with self._clock():
                result = next(results, None)
            if result is None:
                return
            self.done.num_frames += 1
            frame = result.frame
            assert frame is not None
            if frame in annotated:
                masks = {i: mask_of(result, i, self.clip.size) for i in self.clip.object_ids}
                if self.plan.protocol == "online":
                    masks |= self._correct_poor(frame, masks)
                self.done.masks[frame] = masks
            self.advance()

    def correct_worst(self) -> bool:
        """Click in each object's worst frame; False where no object has a mistake left."""
        any_left = False
        for object_id, first in self.clip.first_frames.items():
            frames = [
                frame
                for frame in self.done.masks
                if frame >= first and frame not in self.done.corrected[object_id]
            ]
            scores = {frame: self._iou(frame, object_id) for frame in frames}
            # Among equally bad frames the first, so that the result does not depend on anything else.
            worst = min(scores, key=lambda frame: (scores[frame], frame), default=None)
            # Only frames not yet corrected, as SAM 2: a frame gets its clicks once.
            if worst is None or scores[worst] == 1:
                continue
            any_left = True
            mask = self.done.masks[worst][object_id].dense()
            self.done.corrected[object_id].add(worst)
            truth = self._truth(worst, object_id)
            self._click(object_id, worst, mask, truth, self.plan.clicks_per_frame)
        return any_left

    def _correct_poor(self, frame: int, masks: dict[int, CompactMask]) -> dict[int, CompactMask]:
        corrected = {}
        for object_id, first in self.clip.first_frames.items():
            corrected_frames = self.done.corrected[object_id]
            # Frames before the object was shown are none of its, and each object has a budget.
            if frame <= first or len(corrected_frames) >= self.plan.max_frames:
                continue
            truth, mask = self._truth(frame, object_id), masks[object_id].dense()
            if region_similarity(mask, truth) < self.plan.poor:
                corrected_frames.add(frame)
                mask = self._click(object_id, frame, mask, truth, self.plan.clicks_per_frame)
                corrected[object_id] = CompactMask.from_dense(mask)
        return corrected

    def _click(
        self, object_id: int, frame: int, mask: np.ndarray, truth: np.ndarray, count: int
    ) -> np.ndarray:
        """Click up to ``count`` times, each in the largest mistake that is left; return the new mask."""
        for number in range(count):
            click = error_click(mask, truth)
            if click is None:
                break
            with self._clock():
                result = self.session.add(
                    object_id,
                    frame=frame,
                    points=[[click.x, click.y]],
                    labels=[click.label],
                    # The first click replaces what the frame was prompted with; others are added.
                    clear_old_points=number == 0,
                )
            self.done.clicks[object_id] += 1
            mask = mask_of(result, object_id, self.clip.size).dense()
        return mask

    def _iou(self, frame: int, object_id: int) -> float:
        mask = self.done.masks[frame][object_id].dense()
        return region_similarity(mask, self._truth(frame, object_id))

    def _truth(self, frame: int, object_id: int) -> np.ndarray:
        return truth_of(self.clip, frame, object_id)

    @contextmanager
    def _clock(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.done.seconds += time.perf_counter() - began


def mask_of(result: Result, object_id: int, size: tuple[int, int]) -> CompactMask:
    """Return an object's mask; empty where the result does not have it."""
    if result.masks is not None and object_id in result.ids:
        return result.masks[result.ids.index(object_id)]
    return CompactMask.from_dense(np.zeros((size[1], size[0]), bool))


def truth_of(clip: VideoSequence, frame: int, object_id: int) -> np.ndarray:
    """Return the true mask, bool ``(height, width)``, of an annotated frame; empty where absent."""
    objects = clip.object_masks(frame) or {}
    found = objects.get(object_id)
    return np.zeros((clip.size[1], clip.size[0]), bool) if found is None else found
