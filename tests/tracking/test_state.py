"""A session that goes on from another one's bytes tracks as if it had never ended, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketeye.errors import InvalidValue
from pocketeye.models.tam import MemoryRule, Pooling
from pocketeye.tracking import Session, Tracker
from tests.tracking.engines import MadeUpEngine, graph_engine
from tests.tracking.trackers import HEIGHT, WIDTH, make_tracker, moving

FRAMES = moving(14)
CUT = 8


def edited(session: Session, number: int) -> None:
    """What a user does in some frames: of several objects, so that their memories differ."""
    if number == 3:
        session.add(3, frame=3, points=[[60, 60]])
    if number == 6:
        session.add(1, frame=6, points=[[50, 40], [100, 70]], labels=[1, 0])
    if number == 7:
        session.remove(2)
    if number == 11:
        session.add(3, points=[[70, 60]])


def begun(tracker: Tracker[Any], **options: Any) -> Session:
    session = tracker.open(FRAMES, **options)
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:60, 30:70] = True
    session.add(1, points=[[30, 40]])
    session.add(2, mask=mask)
    session.add(4, box=[80, 10, 110, 40])
    return session


def followed(session: Session, start: int, stop: int) -> list[np.ndarray]:
    found = []
    for result in session.run(start, stop):
        edited(session, result.frame)
        found.append(result.low_res_masks)
        found.append(result.scores)
    return found


def broken_and_whole(tracker: Tracker[Any], **options: Any) -> tuple[list[Any], list[Any]]:
    with begun(tracker, **options) as session:
        followed(session, 0, CUT)
        state = session.to_bytes()
        whole = followed(session, CUT, 14)
    with tracker.open(FRAMES, **options) as session:
        session.restore(state)
        assert (session.frame, session.object_ids) == (CUT - 1, (1, 4, 3))
        return followed(session, CUT, 14), whole


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("torch", {}),
        ("torch", {"memory_rule": MemoryRule.DISTINCT, "max_prompted_maps": 1}),
        ("torch", {"plain": True, "memory_rule": MemoryRule.VISIBLE}),
        ("pooled", {}),
        ("bfloat16", {}),
        ("graphs", {"memory_rule": MemoryRule.DISTINCT}),
    ],
)
def test_it_goes_on_bit_for_bit(kind: str, options: dict[str, Any]) -> None:
    pooling = Pooling.COUNTED_KEYS if kind == "pooled" else Pooling.NONE
    tracker: Tracker[Any] = make_tracker(
        pooling, **({"dtype": "bfloat16"} if kind == "bfloat16" else {})
    )
    if kind == "graphs":
        tracker = Tracker(graph_engine(tracker.engine))
    got, want = broken_and_whole(tracker, **options)
    assert len(got) == len(want) == 12
    assert all(np.array_equal(a, b) for a, b in zip(got, want, strict=True))


def test_pushed_frames_go_on_too(tracker) -> None:
    with tracker.open() as whole, tracker.open() as other:
        whole.push(FRAMES[0])
        whole.add(1, points=[[30, 40]])
        other.restore(whole.to_bytes())
        corrected = other.add(1, points=[[35, 40]], clear_old_points=False)
        assert np.array_equal(
            corrected.low_res_masks,
            whole.add(1, points=[[35, 40]], clear_old_points=False).low_res_masks,
        )
        for frame in FRAMES[1:3]:
            ours, theirs = other.push(frame), whole.push(frame)
            assert ours.frame == theirs.frame
            assert np.array_equal(ours.low_res_masks, theirs.low_res_masks)


def test_where_all_objects_are_gone_the_rest_is_empty(tracker) -> None:
    with begun(tracker) as session:
        for number in (1, 2, 4):
            session.remove(number)
        state = session.to_bytes()
    with tracker.open(FRAMES) as session:
        session.restore(state)
        assert [len(result) for result in session.run(4, 6)] == [0, 0]
        with pytest.raises(InvalidValue, match="nothing to track"):
            session.run()


def test_states_of_others_and_damage_are_refused(tracker) -> None:
    with begun(tracker) as session:
        state = session.to_bytes()
        for damaged in (b"", state[: len(state) // 2], b"\0" * 99, state[:8] + b"[" + state[9:]):
            with pytest.raises(InvalidValue, match="not the state of a session"):
                session.restore(damaged)
        assert session.object_ids == (1, 2, 4)  # as it was
    said = b'"fingerprint": "'
    assert said in state
    place = state.index(said) + len(said)
    with tracker.open(FRAMES) as session:
        with pytest.raises(InvalidValue, match="other weights"):
            session.restore(state[:place] + b"0000" + state[place + 4 :])
        with pytest.raises(InvalidValue, match="not the state"):
            session.restore(state.replace(b'"num_slots": 7', b'"num_slots": "'))
    with (
        tracker.open(FRAMES, hole_area=3) as session,
        pytest.raises(InvalidValue, match="hole_area"),
    ):
        session.restore(state)
    small = [frame[:40] for frame in FRAMES]
    with tracker.open(small) as session, pytest.raises(InvalidValue, match="frames are"):
        session.restore(state)
    graphs = Tracker(graph_engine(make_tracker().engine))
    with graphs.open(FRAMES) as session, pytest.raises(InvalidValue, match="ArtifactEngine"):
        session.restore(state)
    with Tracker(MadeUpEngine()).open(FRAMES) as session:
        session.add(1, points=[[3, 3]])
        with pytest.raises(InvalidValue, match="cannot be handed on"):
            session.to_bytes()
