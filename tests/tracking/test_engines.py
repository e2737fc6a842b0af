"""One session on every engine: the same frames are read by the same rules, whatever computes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pocketeye.errors import InvalidValue
from pocketeye.models.tam import MemoryRule
from pocketeye.tracking import Session, Tracker
from pocketeye.tracking.video.tracked import TrackedFrame
from tests.tracking.engines import MadeUpEngine, Noted, engine_named
from tests.tracking.trackers import HEIGHT, WIDTH, moving

ENGINES = ("made up", "torch", "graphs")
FRAMES = moving(12)
MASK = np.zeros((HEIGHT, WIDTH), bool)
MASK[20:50, 60:90] = True


@pytest.fixture(scope="module", params=ENGINES)
def engine(request):
    return engine_named(request.param)


def session_on(engine, **options: Any) -> tuple[Session, Noted]:
    """A session over the frames, and what its engine is asked."""
    at = SimpleNamespace(session=None)

    def frame() -> int:
        view = at.session._view
        return 0 if view is None else int(view.frame)

    noted = Noted(engine, frame)
    at.session = Tracker(noted).open(FRAMES, memory_rule=MemoryRule.RECENT, **options)
    return at.session, noted


def whole_session(session: Session) -> Iterator[TrackedFrame]:
    """A click, a box and a mask, a late object, a correction and a removal."""
    yield session.add(1, frame=0, points=[[30, 40]])
    yield session.add(2, frame=0, box=[50, 10, 100, 60])
    yield session.add(3, frame=2, mask=MASK)
    for result in session.run(stop=7):
        yield result
        if result.frame == 4:
            yield session.add(1, points=[[60, 60]], labels=[0], clear_old_points=False)
        if result.frame == 5:
            session.remove(2)


def read_in(noted: Noted) -> dict[tuple[str, int], list[Any]]:
    """What was read, by the kind of call and the frame."""
    read: dict[tuple[str, int], list[Any]] = {}
    for name, frame, readings in noted.calls:
        if name != "encode":
            read.setdefault((name, frame), []).extend(readings)
    return read


def test_what_is_read(engine):
    session, noted = session_on(engine)
    results = list(whole_session(session))
    read = read_in(noted)
    assert read["prompt", 0] == []
    assert read["adopt", 2] == []
    first = ((0,), (6,), 1)
    assert read["track", 1] == [first, first]
    # frame 2 shows object 3, and its map is read beside those of the frame before
    assert read["track", 2] == [((0, 1), (6, 0), 2)] * 2
    assert sorted(read["track", 3]) == sorted([((0, 1, 2), (6, 1, 0), 3)] * 2 + [((2,), (6,), 1)])
    # the correction in frame 4 reads what frame 4 read when it was tracked
    assert read["prompt", 4] == [((0, 1, 2, 3), (6, 2, 1, 0), 4)]
    # object 1: two prompted frames, and the frame it corrected is read as one of them only
    assert ((0, 4, 1, 2, 3, 5), (6, 6, 4, 3, 2, 0), 6) in read["track", 6]
    assert [r.ids for r in results[3:9]] == [
        (1, 2),
        (1, 2),
        (1, 2, 3),
        (1, 2, 3),
        (1, 2, 3),
        (1, 2, 3),
    ]
    noted.calls.clear()
    back = [(r.frame, r.ids) for r in session.run(start=5, stop=1, reverse=True)]
    # what was not yet shown when it went forwards is not tracked beyond its last prompt backwards
    assert back == [(5, ()), (4, (1,)), (3, (1,)), (2, (1, 3))]
    read = read_in(noted)
    assert read["track", 3] == [((0, 4, 6, 5), (6, 6, 2, 1), 3)]
    assert read["track", 2] == [((0, 4, 6, 5, 3), (6, 6, 3, 2, 0), 4)]


def test_each_frame_is_encoded_once(engine):
    session, noted = session_on(engine)
    list(whole_session(session))
    encoded = [frame for name, frame, _ in noted.calls if name == "encode"]
    assert len(encoded) <= 7 + 3  # those that are corrected stay, the others are read again


def test_pushed_frames_say_the_same(engine):
    with Tracker(engine).open(FRAMES) as session:
        session.add(1, frame=0, points=[[30, 40]])
        expected = [r.low_res_masks for r in session.run(stop=5)]
    with Tracker(engine).open() as session:
        session.push(FRAMES[0])
        found = [session.add(1, points=[[30, 40]]).low_res_masks]
        found += [session.push(frame).low_res_masks for frame in FRAMES[1:5]]
    for got, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got, want)


def test_others_do_not_notice_a_removal(engine):
    found = []
    for remove in (False, True):
        with Tracker(engine).open(FRAMES) as session:
            for number, x in enumerate((30, 60, 90), 1):
                session.add(number, frame=0, points=[[x, 40]])
            rows = []
            for result in session.run(stop=6):
                rows.append(result.low_res_masks[[result.ids.index(1), result.ids.index(3)]])
                if remove and result.frame == 2:
                    session.remove(2)
            found.append(np.stack(rows))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-4)


def test_graphs_find_what_the_network_finds():
    results = {}
    for name in ("torch", "graphs"):
        session, _ = session_on(engine_named(name))
        results[name] = list(whole_session(session))
    for got, want in zip(results["graphs"], results["torch"], strict=True):
        assert (got.frame, got.ids) == (want.frame, want.ids)
        scale = max(1.0, float(np.abs(want.low_res_masks).max(initial=0)))
        np.testing.assert_allclose(got.low_res_masks, want.low_res_masks, atol=2e-3 * scale)
        np.testing.assert_allclose(got.scores, want.scores, atol=1e-3)


def test_no_more_objects_than_the_engine_takes():
    with Tracker(MadeUpEngine(max_objects=2)).open(FRAMES) as session:
        session.add(1, frame=0, points=[[30, 40]])
        session.add(2, frame=0, points=[[60, 40]])
        with pytest.raises(InvalidValue, match=r"object 3 .* 2 at once .*1, 2.*remove one"):
            session.add(3, frame=0, points=[[90, 40]])
        session.add(2, frame=0, points=[[65, 40]])  # a correction is no further object
        session.remove(1)
        session.add(3, frame=0, points=[[90, 40]])
        assert [r.ids for r in session.run(stop=2)] == [(2, 3)] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"plain": True}, "plain=True is of a network in torch"),
        ({"plain": True, "round_maps": False}, "plain=True and round_maps=False"),
        ({"max_prompted_maps": 9}, r"max_prompted_maps=9 .* 3 .* the 11 .*give 8 or fewer"),
    ],
)
def test_options_that_an_engine_cannot_honour(options, said):
    with pytest.raises(InvalidValue, match=said):
        Tracker(MadeUpEngine(max_maps=11)).open(FRAMES, **options)


def test_a_long_stream_holds_no_more(engine):
    """Maps that no later frame reads are given back, whoever made them."""
    from tests.tracking.test_memory import held_bytes

    with Tracker(engine).open() as session:
        session.push(FRAMES[0])
        session.add(1, points=[[30, 40]])
        session.add(2, points=[[90, 20]])
        for number in range(18):
            session.push(FRAMES[number % 12])
        before = held_bytes(session)
        for number in range(6):
            session.push(FRAMES[number])
        assert held_bytes(session) == before > 0


def test_rules_do_not_import_torch():
    """An exported tracker starts in a moment, and runs where there is no torch."""
    modules = ", ".join(
        f"pocketeye.tracking.{name}"
        for name in (
            "engine.base", "engine.artifact", "engine.artifact_folder", "video.session",
            "video.objects", "video.tracker", "image.components", "image.prompts", "image.resize",
            "io.write", "io.source",
        )
    )  # fmt: skip
    modules += ", pocketeye.jobs.job"
    code = f"import sys, {modules}; print(*{{'torch', 'scipy', 'timm'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
