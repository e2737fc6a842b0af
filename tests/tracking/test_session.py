"""Sessions: what is yielded when, what is remembered, and that savings do not change the masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import ImageShow

from pocketeye.models.tam import MemoryRule, Pooling
from pocketeye.results import CompactMask
from pocketeye.tracking import Session
from tests.tracking.trackers import HEIGHT, WIDTH, make_tracker, moving

A, B, C = [[30, 40]], [[90, 20]], [[60, 60]]
FRAMES = moving(24)


def logits_of(session: Session, object_id: int = 1, **where: int) -> dict[int, np.ndarray]:
    """Of one object, by frame."""
    return {
        r.frame: r.logits[r.ids.index(object_id)]
        for r in session.run(**where)
        if object_id in r.ids
    }


def near(got: np.ndarray, want: np.ndarray) -> bool:
    return bool(np.abs(got - want).max() <= 1e-4 * want.std())


def test_result(tracker):
    with tracker.open(FRAMES) as session:
        shown = session.add(3, frame=2, points=A)
        assert (shown.frame, shown.ids, shown.size) == (2, (3,), (WIDTH, HEIGHT))
        assert shown.logits.shape == (1, HEIGHT, WIDTH)
        assert np.array_equal(shown.masks.dense(), shown.logits > 0)
        assert shown.masks.areas[0] > 0
        assert np.array_equal(shown.image, FRAMES[2])
        assert 0.5 < shown.scores[0] <= 1
        assert shown.overlay().shape == (HEIGHT, WIDTH, 3)


def test_a_frame_is_shown_with_its_objects(tracker, monkeypatch):
    images = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(ImageShow, "show", lambda image, title: images.append(image) or True)
    with tracker.open(FRAMES) as session:
        shown = session.add(3, frame=2, points=A)
    shown.show()
    assert np.array_equal(np.asarray(images[0]), shown.overlay())


@pytest.mark.parametrize("pooling", list(Pooling))
def test_plain_path_says_the_same(pooling):
    """Prepared keys and batches against everything recomputed, one object at a time."""
    tracker = make_tracker(pooling)
    found = {}
    for plain in (False, True):
        with tracker.open(FRAMES[:11], plain=plain) as session:
            session.add(1, frame=0, points=A)
            session.add(2, frame=0, box=[70, 5, 110, 40])
            session.add(3, frame=4, points=C)  # of another length of memory
            rows = list(session.run())
            session.add(2, frame=9, points=B, labels=[0])
            rows += list(session.run(start=9))
            found[plain] = np.concatenate([r.logits for r in rows])
    assert found[False].shape == found[True].shape
    for got, want in zip(found[False], found[True], strict=True):
        assert near(got, want)


def test_objects_of_equal_memory_are_one_batch(tracker, monkeypatch):
    with tracker.open(FRAMES) as session:
        for number, points in enumerate((A, B, C), 1):
            session.add(number, frame=0, points=points)
        sizes = []
        predict, read_each = tracker.engine.model.predict, tracker.engine.model.read_each

        def reading(seen, memories):
            memories = list(memories)
            sizes.append((seen.feat.shape[0], len(memories), *(m.keys.shape[1] for m in memories)))
            return read_each(seen, memories)

        def predicting(feat, *args, **kwargs):
            sizes.append(feat.shape[0])
            return predict(feat, *args, **kwargs)

        monkeypatch.setattr(tracker.engine.model, "read_each", reading)
        monkeypatch.setattr(tracker.engine.model, "predict", predicting)
        list(session.run(stop=6))
    # read one after another, on a CPU, from the same features
    assert sizes == [(1, 3, 1, 1, 1), 3] * 5


def test_one_batch_says_what_one_after_another_says(tracker, monkeypatch):
    """On other devices objects are read as one batch."""
    with tracker.open(FRAMES) as session:
        for number, points in enumerate((A, B, C), 1):
            session.add(number, frame=0, points=points)
        list(session.run(stop=5))
        readings = [m.reading(5, False) for m in session._objects.memories.values()]
        engine = tracker.engine.computing(plain=False, round_maps=True)
        with engine.inferring():
            seen = engine.encode(FRAMES[5])
            want = engine.condition(seen, readings).feat
            monkeypatch.setattr(engine, "_one_by_one", False)
            got = engine.condition(seen, readings).feat
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    assert len(got) == 3
    assert not torch.allclose(got[0], got[1], rtol=1e-2)


def test_batches_are_not_copied(tracker):
    """Maps that objects left together are read as they lie."""
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        session.add(2, frame=0, points=B)
        list(session.run(stop=4))
        first, second = (m.answers.get(3).map for m in session._objects.memories.values())
    assert first.batch is second.batch
    assert (first.row, second.row) == (0, 1)


def test_features_are_computed_once_a_frame(tracker, monkeypatch):
    calls = []
    encode = tracker.engine._encoder.encode_image
    monkeypatch.setattr(
        tracker.engine._encoder, "encode_image", lambda x: (calls.append(1), encode(x))[1]
    )
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        session.add(2, frame=0, points=B)
        assert len(calls) == 1
        list(session.run(stop=4))
        # frame 0 is answered from what is remembered
        assert len(calls) == 4
        session.add(2, frame=3, points=C)
        assert len(calls) == 4


def test_late_object(tracker):
    """On the CPU the official code stops with a dtype error, and tracks it before it was shown."""
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        session.add(2, frame=3, points=B)
        ids = {r.frame: r.ids for r in session.run(stop=6)}
    assert ids == {**dict.fromkeys(range(3), (1,)), **dict.fromkeys(range(3, 6), (1, 2))}


def test_frame_counts(tracker):
    with tracker.open(FRAMES) as session:
        session.add(1, frame=2, points=A)
        assert [r.frame for r in session.run(stop=5)] == [2, 3, 4]
        assert [r.frame for r in session.run(start=0, stop=4)] == [0, 1, 2, 3]
        assert [r.frame for r in session.run(start=20)] == [20, 21, 22, 23]
        assert [r.frame for r in session.run(start=5, stop=2, reverse=True)] == [5, 4, 3]
        assert [r.frame for r in session.run(reverse=True)] == [2, 1, 0]


def test_before_it_was_shown_there_is_nothing(tracker):
    with tracker.open(FRAMES) as session:
        session.add(1, frame=2, points=A)
        ids = [r.ids for r in session.run(start=0, stop=4)]
        assert ids == [(), (), (1,), (1,)]
        assert [r.ids for r in session.run(start=4, stop=0, reverse=True)] == [(), (), (1,), (1,)]


def test_prompt_on_a_future_frame(tracker):
    """Its map is read before it comes (it shows the object), its pointer is not (it tells the place)."""
    with tracker.open(FRAMES, memory_rule=MemoryRule.VISIBLE) as session:
        session.add(1, frame=0, points=A)
        alone = logits_of(session, stop=8)
        session.reset()
        session.add(1, frame=0, points=A)
        later = session.add(1, frame=6, points=B).logits[0]
        found = logits_of(session, stop=8)
        reading = session._objects.memories[1].reading(3, False)
    assert reading is not None
    assert reading.slots == (6, 6, 1, 0)
    assert len(reading.pointers) == 3
    assert np.array_equal(found[0], alone[0])
    assert not near(found[3], alone[3])
    assert np.array_equal(found[6], later)


def test_reverse_is_forwards_in_a_mirror(tracker):
    with tracker.open(FRAMES[:9]) as session:
        session.add(1, frame=0, points=A)
        forwards = logits_of(session)
    with tracker.open(FRAMES[:9][::-1]) as session:
        session.add(1, frame=8, points=A)
        backwards = logits_of(session, reverse=True)
    assert sorted(backwards) == list(range(9))
    for number, want in forwards.items():
        assert near(backwards[8 - number], want)


def test_prompt_after_tracking_began(tracker):
    """A correction knows the memory and the earlier mask, and what follows knows the correction."""
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        before = logits_of(session, stop=8)
        fixed = session.add(1, frame=5, points=C, labels=[0]).logits[0]
        again = logits_of(session, start=4, stop=8)
    with tracker.open(FRAMES) as session:
        fresh = session.add(1, frame=5, points=C, labels=[0]).logits[0]
    assert not near(fixed, before[5])
    assert not near(fixed, fresh)
    assert np.array_equal(again[5], fixed)
    assert not near(again[6], before[6])


def test_correction_in_the_loop(tracker):
    found = {}
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        for r in session.run(stop=6):
            found[r.frame] = r.ids
            if r.frame == 2:
                assert session.add(2, points=B).frame == 2
            if r.frame == 4:
                session.remove(1)
    assert found == {0: (1,), 1: (1,), 2: (1,), 3: (1, 2), 4: (1, 2), 5: (2,)}


def test_old_points(tracker):
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=A)
        session.add(1, points=C, labels=[0], clear_old_points=False)
        assert session._objects.memories[1].prompted[0].labels == (1, 0)
        session.add(1, points=B)
        assert session._objects.memories[1].prompted[0].points == ((90.0, 20.0),)


def test_removal_leaves_the_others_alone(tracker):
    def run(remove: bool) -> list[np.ndarray]:
        with tracker.open(FRAMES) as session:
            session.add(1, frame=0, points=A)
            session.add(2, frame=0, points=B)
            session.add(3, frame=0, points=C)
            rows = []
            for r in session.run(stop=9):
                rows.append(r.logits[[r.ids.index(1), r.ids.index(3)]])
                if remove and r.frame == 4:
                    session.remove(2)
            return rows

    for got, want in zip(run(remove=True), run(remove=False), strict=True):
        assert np.array_equal(got, want)


def test_options_survive_a_reset(tracker):
    with tracker.open(FRAMES, max_prompted_maps=2, hole_area=3, non_overlapping=True) as session:
        options = session.options
        session.add(1, frame=0, points=A)
        session.add(2, frame=0, points=B)
        session.remove(2)
        session.reset()
        assert session.object_ids == ()
        assert session.options is options
        session.add(2, frame=1, points=B)  # removed ids are free again
        assert [r.frame for r in session.run(stop=3)] == [1, 2]
    assert (options.max_prompted_maps, options.hole_area) == (2, 3)


@pytest.mark.parametrize("size", [(64, 48), (400, 250)], ids=["smaller", "larger"])
def test_sizes(tracker, size):
    """Videos and masks smaller and larger than the network's input."""
    frames = moving(3, size)
    mask = np.zeros(size[::-1], np.uint8)
    mask[size[1] // 5 : size[1] // 2, size[0] // 4 : size[0] // 2] = 255
    with tracker.open(frames) as session:
        shown = session.add(1, frame=0, mask=mask)
        found = shown.masks[0].dense()
        assert (found & (mask > 0)).sum() / (found | (mask > 0)).sum() > 0.8
        assert shown.scores[0] > 0.99
        for r in session.run():
            assert r.masks.size == size
            assert r.logits.shape == (1, size[1], size[0])


def test_mask_forms(tracker):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:50, 30:70] = True
    forms = (mask, mask.astype(np.int64), torch.from_numpy(mask), CompactMask.from_dense(mask))
    found = []
    for form in forms:
        with tracker.open(FRAMES) as session:
            found.append(session.add(1, frame=0, mask=form).logits)
    assert all(np.array_equal(found[0], other) for other in found[1:])


def test_live(tracker):
    """Pushed frames say what the same frames say as a video."""
    with tracker.open(FRAMES[:8]) as session:
        session.add(1, frame=1, points=A)
        expected = logits_of(session)
    with tracker.open() as session:
        assert session.push(FRAMES[0]).ids == ()
        session.push(FRAMES[1])
        found = {1: session.add(1, points=A).logits[0]}
        for number in range(2, 8):
            r = session.push(FRAMES[number])
            assert r.frame == number
            found[number] = r.logits[0]
    assert found.keys() == expected.keys()
    assert all(near(found[n], expected[n]) for n in found)


def test_stream_ends(tracker):
    with tracker.open(frame for frame in FRAMES[:5]) as session:
        session.add(1, frame=1, points=A)
        assert [r.frame for r in session.run()] == [1, 2, 3, 4]


def test_no_two_objects_in_a_pixel(tracker):
    with tracker.open(FRAMES, non_overlapping=True) as session:
        session.add(1, frame=0, points=A)
        session.add(2, frame=0, points=A)
        shown = session.add(3, frame=0, points=C)
        assert shown.masks.dense().sum(0).max() == 1
        free = tracker.open(FRAMES)
        for number, points in enumerate((A, A, C), 1):
            overlapping = free.add(number, frame=0, points=points)
        assert overlapping.masks.dense().sum(0).max() > 1


def test_bfloat16(tracker):
    half = make_tracker(dtype="bfloat16")
    found = []
    for each in (tracker, half):
        with each.open(FRAMES) as session:
            session.add(1, frame=0, points=A)
            found.append(np.stack(list(logits_of(session, stop=4).values())))
    off = np.abs(found[0] - found[1]).mean() / found[0].std()
    assert 0 < off < 0.2


def test_click_masks_and_rounding_are_options(tracker):
    found = []
    for options in ({}, {"binarize_click_masks": False}, {"round_maps": False}):
        with tracker.open(FRAMES, **options) as session:
            session.add(1, frame=0, points=A)
            found.append(logits_of(session, stop=2)[1])
    assert not np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
