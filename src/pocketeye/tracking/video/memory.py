"""Keep what a session remembers of an object: few arrays, however long the video is.

A frame reads (:meth:`ObjectMemory.reading`) all prompted frames that are kept, the maps of six tracked
frames and the pointers of fifteen; a :class:`MemoryRule` says which. SAM 2's predictor keeps the output
of every frame for the whole video although it reads no others than these. Maps are the engine's own:
what is kept here is which of them a frame reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np

from pocketeye.models.tam.memory_rule import MemoryRule, frames_to_read
from pocketeye.tracking.engine.base import MemoryMap, Reading
from pocketeye.tracking.video.distractors import AnchorWatch
from pocketeye.tracking.video.signals import Signals

NUM_POINTERS = 16  # SAM 2's max_obj_ptrs_in_encoder; counts the current frame, so 15 are read
# Of MemoryRule.DISTINCT, by arXiv 2411.17576: the memory is half recent frames, half anchors (of which
# the first prompted frame is one), and recent ones are taken five frames apart, the last one besides.
_NUM_SPACED, _NUM_ANCHORS, _SPACING = 3, 2, 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class FrameOutput:
    """Hold what the network found of an object in one frame, and what the frame leaves in memory."""

    low_res_masks: np.ndarray  # float32 (1, 1, H / 4, W / 4) logits, small holes filled
    score: float  # logit: the object is in the frame where above 0
    pointer: np.ndarray  # float32 (1, C)
    map: MemoryMap | None  # None where no later frame may read it (object unseen, rule not RECENT)
    signals: Signals | None = None  # what it shows of its own quality


@dataclass(slots=True, eq=False)
class PromptedFrame:
    """Hold the answer to prompts, with the prompts themselves.

    ``settled`` becomes True once tracking has gone on from the frame. Until then the answer may still be
    corrected, and no frame reads it: SAM 2 too encodes prompted frames only before it propagates.
    """

    answer: FrameOutput
    points: tuple[tuple[float, float], ...]  # pixels of the video
    labels: tuple[int, ...]
    settled: bool = False


class Ring(Generic[T]):
    """Keep the last ``capacity`` items, by frame number."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._items: dict[int, T] = {}

    def put(self, frame: int, item: T) -> None:
        # A dict keeps the order of insertion: taken out first, a frame put again is the newest.
        self._items.pop(frame, None)
        self._items[frame] = item
        while len(self._items) > self.capacity:
            del self._items[next(iter(self._items))]

    def get(self, frame: int) -> T | None:
        return self._items.get(frame)

    def __getitem__(self, frame: int) -> T:
        return self._items[frame]

    def drop(self, frame: int) -> None:
        self._items.pop(frame, None)

    def __iter__(self) -> Iterator[int]:
        """Iterate over the frame numbers, the one that was put in last at the end."""
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class Spans:
    """Hold a set of frame numbers as few intervals: one, for a video watched from start to end.

    A plain set would grow with the video, and a session may run for days.
    """

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []  # disjoint, sorted, half-open

    def add(self, frame: int) -> None:
        if frame in self:
            return
        start, stop = frame, frame + 1
        # Two spans may touch the frame, one on each side: they become one.
        others = []
        for span in self._spans:
            if span[1] == start:
                start = span[0]
            elif span[0] == stop:
                stop = span[1]
            else:
                others.append(span)
        self._spans = sorted([*others, (start, stop)])

    def put(self, spans: list[tuple[int, int]]) -> None:
        """Hold these intervals, which are disjoint, sorted and half-open, instead."""
        self._spans = spans

    def __contains__(self, frame: int) -> bool:
        return any(start <= frame < stop for start, stop in self._spans)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Iterate over the intervals as (first frame, frame after the last)."""
        return iter(self._spans)


@dataclass(slots=True, eq=False)
class ObjectMemory:
    """Remember one object: its prompted frames, its last answers and its last pointers.

    Attributes:
        object_id: the user's number.
        num_slots: ages that a map can have, the last of them for prompted frames.
        prompted: by frame, at most as many as :meth:`prompt` was told to keep.
        first, last: lowest and highest frame ever prompted. Before the first an object is not tracked
            forwards, after the last not backwards. SAM 2 starts every object at the earliest prompt of
            any, and so tracks a late one in frames before it was shown.
        rule: says which tracked frames are read.
        tracked: frames in which the object was tracked; a prompt in one of them sees the memory.
        answers: of the frames tracked last, found or not; a correction starts from them.
        maps, pointers: of the tracked frames that the rule lets in.
        anchors: maps of frames with a look-alike, of ``MemoryRule.DISTINCT``; read like prompted ones.
        watch: chooses the anchors.
    """

    object_id: int
    num_slots: int
    first: int
    last: int
    rule: MemoryRule = MemoryRule.RECENT
    prompted: dict[int, PromptedFrame] = field(default_factory=dict)
    tracked: Spans = field(default_factory=Spans)
    answers: Ring[FrameOutput] = field(init=False)
    maps: Ring[MemoryMap] = field(init=False)
    pointers: Ring[np.ndarray] = field(init=False)
    anchors: Ring[MemoryMap] = field(default_factory=lambda: Ring(_NUM_ANCHORS))
    watch: AnchorWatch = field(default_factory=AnchorWatch)

    def __post_init__(self) -> None:
        # One slot of num_slots is for prompted frames; the others are for tracked ones.
        self.answers = Ring(self.num_slots - 1)
        spaced = self.rule is MemoryRule.DISTINCT
        self.maps = Ring(min(_NUM_SPACED, self.num_slots - 1) if spaced else self.num_slots - 1)
        self.pointers = Ring(NUM_POINTERS - 1)

    def answer(self, frame: int) -> FrameOutput | None:
        """Return what was found in ``frame``, or None where that is no longer remembered."""
        prompt = self.prompted.get(frame)
        return prompt.answer if prompt else self.answers.get(frame)

    def is_due(self, frame: int, reverse: bool) -> bool:
        """Tell whether tracking in this direction has come past a prompt of the object."""
        return frame <= self.last if reverse else frame >= self.first

    def prompt(self, frame: int, prompted: PromptedFrame, max_prompted: int) -> None:
        """Keep a prompted frame, in place of what was tracked there.

        Beyond ``max_prompted`` the frames farthest from it are forgotten, the first of all at last.
        """
        self.first, self.last = min(self.first, frame), max(self.last, frame)
        self.prompted[frame] = prompted
        # The user's word replaces the network's: no frame reads the old answer beside the new one.
        for ring in (self.answers, self.maps, self.pointers, self.anchors):
            ring.drop(frame)
        self.limit(max_prompted, frame)

    def limit(self, max_prompted: int, near: int) -> None:
        """Forget prompted frames beyond ``max_prompted``: those nearest to ``near`` stay."""
        while len(self.prompted) > max_prompted:
            rest = [f for f in self.prompted if f != near]
            # The first prompt shows what the user meant, before anything could drift: it stays.
            others = [f for f in rest if f != min(self.prompted)] or rest
            # Of two equally far the older goes (-f is larger).
            del self.prompted[max(others, key=lambda f: (abs(f - near), -f))]

    def remember(self, frame: int, answer: FrameOutput, anchor: bool = False) -> None:
        """Keep the answer of a tracked frame, in place of the oldest; as an anchor if it is one."""
        assert answer.map is not None
        if self.rule is MemoryRule.RECENT or answer.score > 0:
            self.answers.put(frame, answer)
            if self.rule is MemoryRule.DISTINCT:
                self._make_room()
            self.maps.put(frame, answer.map)
            if anchor:
                self.anchors.put(frame, answer.map)
            self.pointers.put(frame, answer.pointer)
        # VISIBLE: an empty map would push one that shows the object out of the ring.
        else:
            self.answers.put(frame, replace(answer, map=None))
            self.maps.drop(frame)
            self.pointers.drop(frame)

    def _make_room(self) -> None:
        """Forget the last tracked frame if it is too near to the one kept before it."""
        kept = list(self.maps)
        if len(kept) > 1 and abs(kept[-1] - kept[-2]) < _SPACING:
            self.maps.drop(kept[-1])

    def settle(self) -> None:
        """Let later frames read what was answered to prompts: tracking goes on."""
        for prompt in self.prompted.values():
            prompt.settled = True

    def reading(self, frame: int, reverse: bool) -> Reading | None:
        """Return what ``frame`` reads, or None where nothing is there yet."""
        step = -1 if reverse else 1
        settled = {f: p.answer for f, p in sorted(self.prompted.items()) if p.settled}
        # All prompted frames share the last slot: SAM 2 gives them no age (t_pos 0).
        maps = [answer.map for answer in settled.values() if answer.map is not None]
        maps += [self.anchors[f] for f in self.anchors if f != frame]
        slots = [self.num_slots - 1] * len(maps)
        for place in frames_to_read(self.rule, frame, step, self.maps, self.num_slots - 1):
            maps.append(self.maps[place.frame])
            slots.append(place.slot)
        # Pointers of prompts still to come would tell where the object will be.
        pointers = [a.pointer for f, a in settled.items() if (f - frame) * step <= 0]
        for place in frames_to_read(self.rule, frame, step, self.pointers, NUM_POINTERS - 1)[::-1]:
            pointers.append(self.pointers[place.frame])
        return Reading(tuple(maps), tuple(slots), tuple(pointers)) if maps else None
