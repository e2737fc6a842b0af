"""What an object leaves behind stays bounded, and what a frame reads of it follows the rules."""

from __future__ import annotations

import gc
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch

from pocketeye.errors import InvalidValue
from pocketeye.models.tam import MemoryRule
from pocketeye.tracking import Session
from pocketeye.tracking.video.memory import (
    FrameOutput,
    ObjectMemory,
    PromptedFrame,
    Ring,
    Spans,
)
from tests.tracking.trackers import make_tracker, moving

FRAMES = moving(24)


def answer(value: float = 0.0, score: float = 1.0) -> FrameOutput:
    # A map is the engine's own: the rules hand it on without a look at it.
    return FrameOutput(np.zeros((1, 1, 1, 1)), score, np.full((1, 4), value), f"map {value:g}")


def memory_of(prompted: list[int], tracked: range) -> ObjectMemory:
    memory = ObjectMemory(1, 7, prompted[0], prompted[0])
    for frame in prompted:
        memory.prompt(frame, PromptedFrame(answer(frame), (), ()), 8)
    memory.settle()
    for frame in tracked:
        if frame not in prompted:
            memory.remember(frame, answer(frame))
    return memory


def read(memory: ObjectMemory, frame: int, reverse: bool = False) -> tuple[list, list, list]:
    """(Frames of the maps, their slots, frames of the pointers)."""
    reading = memory.reading(frame, reverse)
    assert reading is not None
    maps = [int(name.removeprefix("map ")) for name in reading.maps]
    return maps, list(reading.slots), [int(p[0, 0]) for p in reading.pointers]


def hidden_memory(rule: MemoryRule) -> ObjectMemory:
    """Shown in frame 0, seen in 1 to 9, hidden in 10 to 29."""
    memory = ObjectMemory(1, 7, 0, 0, rule)
    memory.prompt(0, PromptedFrame(answer(0), (), ()), 8)
    memory.settle()
    for frame in range(1, 30):
        memory.remember(frame, answer(frame, score=1.0 if frame < 10 else -1.0))
    return memory


def test_frames_in_which_an_object_is_hidden_are_passed_over():
    memory = hidden_memory(MemoryRule.VISIBLE)
    maps, slots, pointers = read(memory, 30)
    assert maps == [0, 4, 5, 6, 7, 8, 9]
    assert slots == [6, 5, 4, 3, 2, 1, 0]
    assert sorted(pointers) == list(range(10))
    assert memory.answer(29).score < 0  # what was said is known all the same
    assert memory.answer(29).map is None
    maps, _, _ = read(memory, 7)  # once more from an earlier frame
    assert maps == [0, 4, 5, 6]


def test_the_authors_read_what_lies_just_before():
    maps, slots, _ = read(hidden_memory(MemoryRule.RECENT), 30)
    assert maps == [0, 24, 25, 26, 27, 28, 29]
    assert slots == [6, 5, 4, 3, 2, 1, 0]


def test_full_bank():
    memory = memory_of([0], range(1, 40))
    maps, slots, pointers = read(memory, 40)
    assert maps == [0, 34, 35, 36, 37, 38, 39]
    assert slots == [6, 5, 4, 3, 2, 1, 0]
    assert pointers == [0, *range(39, 24, -1)]
    assert (len(memory.answers), len(memory.pointers)) == (6, 15)


def test_backwards_the_frames_after_are_read():
    memory = memory_of([40], range(39, 9, -1))
    maps, slots, pointers = read(memory, 9, reverse=True)
    assert maps == [40, 15, 14, 13, 12, 11, 10]
    assert slots == [6, 5, 4, 3, 2, 1, 0]
    assert pointers == [40, *range(10, 25)]


def test_missing_maps_are_left_out():
    memory = memory_of([0, 3], range(1, 5))
    assert read(memory, 5)[:2] == ([0, 3, 1, 2, 4], [6, 6, 3, 2, 0])
    assert read(memory, 30)[:2] == ([0, 3], [6, 6])


def test_unsettled_prompts_are_not_read():
    memory = memory_of([0], range(1, 5))
    memory.prompt(4, PromptedFrame(answer(4), (), ()), 8)
    assert read(memory, 4)[0] == [0, 1, 2, 3]
    assert ObjectMemory(1, 7, 0, 0).reading(1, reverse=False) is None


@pytest.mark.parametrize(
    ("most", "kept"), [(1, [30]), (2, [0, 30]), (3, [0, 20, 30]), (4, [0, 10, 20, 30])]
)
def test_prompted_frames_are_bounded(most, kept):
    memory = ObjectMemory(1, 7, 0, 0)
    for frame in (0, 10, 20, 30):
        memory.prompt(frame, PromptedFrame(answer(), (), ()), most)
    assert sorted(memory.prompted) == kept
    assert (memory.first, memory.last) == (0, 30)


def test_spans():
    spans = Spans()
    for frame in (3, 4, 9, 8, 5, 5, 7, 6, 20):
        spans.add(frame)
    assert list(spans) == [(3, 10), (20, 21)]
    assert [n in spans for n in (2, 3, 9, 10, 20)] == [False, True, True, False, True]


def test_ring_keeps_what_came_last():
    ring: Ring[str] = Ring(2)
    for frame, item in ((5, "a"), (6, "b"), (5, "c"), (7, "d")):
        ring.put(frame, item)
    assert (ring.get(5), ring.get(6), ring.get(7), len(ring)) == ("c", None, "d", 2)


def held_bytes(session: Session) -> int:
    """Bytes of all arrays and tensors that a session's memory holds, each storage once."""
    storages: dict[int, int] = {}
    seen: set[int] = set()
    pending: list[Any] = [session._objects.memories]
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            storage = each.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(each, np.ndarray):
            while isinstance(each.base, np.ndarray):  # a view holds all that it is of
                each = each.base
            storages[each.ctypes.data] = each.nbytes
        elif isinstance(each, dict):
            pending += each.values()
        else:
            pending += gc.get_referents(each) if type(each).__module__ != "builtins" else ()
            pending += each if isinstance(each, list | tuple | set | deque) else ()
    return sum(storages.values())


def test_a_long_stream_holds_no_more(tracker):
    """From the time the rings are full on."""
    with tracker.open() as session:
        session.push(FRAMES[0])
        session.add(1, points=[[30, 40]])
        session.add(2, points=[[90, 20]])
        for number in range(1, 20):
            session.push(FRAMES[number])
        before = held_bytes(session)
        for frame in FRAMES:
            session.push(frame)
        assert held_bytes(session) == before
        assert session.frame == 43


def test_removed_objects_are_forgotten(tracker):
    with tracker.open() as session:
        session.push(FRAMES[0])
        session.add(1, points=[[30, 40]])
        for number in range(1, 18):
            session.push(FRAMES[number])
        before = held_bytes(session)
        session.add(2, points=[[90, 20]])
        session.push(FRAMES[18])
        assert held_bytes(session) > before
        session.remove(2)
        for number in range(8):  # until the maps they wrote together are gone
            session.push(FRAMES[number])
        assert held_bytes(session) == before


def test_size_of_a_map(tracker):
    """The budget reckons with what a map really takes."""
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=[[30, 40]])
        batch = session._objects.memories[1].prompted[0].answer.map.batch
    assert batch.prepared is not None
    made = batch.prepared
    parts = (batch.raw, made.keys, made.values, made.match, made.target)
    assert tracker.facts.map_bytes == sum(p.numel() * p.element_size() for p in parts)


def prompt_five(session: Session) -> int:
    """How many of five prompted frames are kept."""
    for frame in range(5):
        session.add(1, frame=frame, points=[[30, 40]])
    return len(session._objects.memories[1].prompted)


def test_memory_budget(tracker):
    """Room for six recent maps and two prompted ones, then for two objects only if each keeps one."""
    map_mb = tracker.facts.map_bytes / 2**20
    with tracker.open(FRAMES, memory_budget_mb=8.5 * map_mb) as session:
        assert prompt_five(session) == 2
        with pytest.raises(InvalidValue, match=r"not hold 2 objects.* remove"):
            session.add(2, frame=0, points=[[90, 20]])
        assert session.object_ids == (1,)
        assert np.isfinite(next(session.run()).logits).all()
    with tracker.open(FRAMES, memory_budget_mb=14.5 * map_mb) as session:
        assert prompt_five(session) == 5
        session.add(2, frame=4, points=[[90, 20]])
        assert [len(m.prompted) for m in session._objects.memories.values()] == [1, 1]
    session = tracker.open(FRAMES, memory_budget_mb=6 * map_mb)
    with pytest.raises(InvalidValue, match="not hold 1 object"):
        session.add(1, frame=0, points=[[30, 40]])


def test_keys_are_as_narrow_as_they_are_multiplied():
    tracker = make_tracker(dtype="bfloat16")
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=[[30, 40]])
        list(session.run(stop=3))
        batch = session._objects.memories[1].answers.get(2).map.batch
    assert batch.prepared.keys.dtype is torch.bfloat16
    made = batch.prepared
    parts = (batch.raw, made.keys, made.values, made.match, made.target)
    assert tracker.facts.map_bytes == sum(p.numel() * p.element_size() for p in parts)
