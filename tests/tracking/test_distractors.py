"""DAM4SAM's rule: what makes a frame an anchor, and which frames are read."""

from __future__ import annotations

import numpy as np
import pytest

from pocketeye.models.tam import MemoryRule
from pocketeye.tracking.video.distractors import AnchorWatch, shows_distractor
from pocketeye.tracking.video.memory import ObjectMemory, PromptedFrame
from tests.tracking.test_memory import answer, read
from tests.tracking.trackers import make_tracker, moving


def square(x0: int, y0: int, side: int = 8, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[y0 : y0 + side, x0 : x0 + side] = True
    return mask


def logits(*masks: np.ndarray) -> np.ndarray:
    return np.stack(masks).astype(np.float32) * 20 - 10


def test_an_alternative_far_away_is_a_distractor():
    own = square(8, 8)
    assert shows_distractor(own, np.stack([own, square(8, 8) | square(40, 40)]))
    assert not shows_distractor(own, np.stack([own, own]))
    # a little more of the same object
    assert not shows_distractor(own, np.stack([own, square(8, 8, side=9)]))
    # specks do not join into a part: the largest one lies within the object's box
    specks = own.copy()
    specks[12, 12] = False
    assert not shows_distractor(specks, np.stack([own]))


@pytest.mark.parametrize(
    ("iou", "side", "anchor"), [(0.9, 8, True), (0.7, 8, False), (0.9, 12, False)]
)
def test_only_a_sure_and_steady_answer_is_an_anchor(iou, side, anchor):
    watch = AnchorWatch()
    for frame in range(4):
        assert not watch.is_anchor(frame, logits(square(8, 8))[0], logits(square(8, 8)), 0.95)
    own = square(8, 8, side)
    assert watch.is_anchor(4, logits(own)[0], logits(own, own | square(50, 50)), iou) is anchor


def test_anchors_are_five_frames_apart_and_hidden_objects_make_none():
    watch, own = AnchorWatch(), square(8, 8)
    both = logits(own, own | square(50, 50))
    nothing = np.full((64, 64), -10.0)
    assert watch.is_anchor(3, logits(own)[0], both, 0.9)
    assert [watch.is_anchor(f, logits(own)[0], both, 0.9) for f in (4, 7, 8)] == [
        False,
        False,
        True,
    ]
    assert not watch.is_anchor(20, nothing, both, 0.9)


def test_frames_read_are_spaced_and_anchors_stay():
    memory = ObjectMemory(1, 7, 0, 0, MemoryRule.DISTINCT)
    memory.prompt(0, PromptedFrame(answer(0), (), ()), 8)
    memory.settle()
    for frame in range(1, 31):
        memory.remember(frame, answer(frame), anchor=frame in (9, 20, 23))
    maps, slots, _ = read(memory, 31)
    # the first prompt and the two last anchors at its slot; the last frame, and two spaced ones
    assert maps == [0, 20, 23, 21, 26, 30]
    assert slots == [6, 6, 6, 2, 1, 0]
    memory.prompt(
        23, PromptedFrame(answer(23), (), ()), 8
    )  # a corrected frame is no anchor any more
    memory.settle()
    assert read(memory, 31)[0] == [0, 23, 20, 21, 26, 30]


def test_a_session_can_be_opened_with_the_rule():
    with make_tracker().open(moving(8), memory_rule=MemoryRule.DISTINCT) as session:
        session.add(1, frame=0, points=[[20, 20]])
        assert [seen.frame for seen in session.run(stop=8)] == list(range(8))
        assert session._objects.memories[1].rule is MemoryRule.DISTINCT
