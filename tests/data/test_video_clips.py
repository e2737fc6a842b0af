"""Clips out of videos: which frames are taken, and that masks stay on their objects."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from pocketeye.data.clips.geometry import Geometry
from pocketeye.data.clips.light import Colours
from pocketeye.data.clips.synthetic import SyntheticClips
from pocketeye.data.clips.videos import VideoClips, VideoFrames, VideoSampling
from pocketeye.data.files.problems import Problems
from pocketeye.data.sample import first_readable
from pocketeye.errors import InvalidValue
from tests.data.mask_layouts import disc

PLAIN = Geometry(degrees=0, shear=0, scale=(1.0, 1.0), flip=0.0)
AS_IS = Colours(brightness=0, contrast=0, saturation=0, grey=0)
SIZE = (160, 120)


@dataclass
class Discs:
    """Two discs, of value 100 + frame and 200, that move to the right; ``gone`` hides the second."""

    name: str = "discs"
    num_frames: int = 20
    gone: frozenset[int] = frozenset()
    unannotated: frozenset[int] = frozenset()
    unreadable: frozenset[int] = frozenset()
    damaged: frozenset[int] = frozenset()
    mask_size: tuple[int, int] = SIZE

    def places(self, index: int, size: tuple[int, int] = SIZE) -> dict[int, np.ndarray]:
        x = 30 + 4 * index
        here = {3: disc((x, 40), 22, size)}
        if index not in self.gone:
            here[7] = disc((x, 95), 20, size)
        return here

    def frame(self, index: int) -> np.ndarray:
        if index in self.damaged:
            raise InvalidValue("empty file")
        pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        for k, inside in self.places(index).items():
            pixels[inside] = 100 + index if k == 3 else 200
        return pixels

    @property
    def annotated(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.num_frames) if i not in self.unannotated)

    def object_masks(self, index: int) -> dict[int, np.ndarray] | None:
        assert index in self.annotated
        return None if index in self.unreadable else self.places(index, self.mask_size)


@dataclass
class Videos:
    videos: tuple[Discs, ...] = ()
    source: str = "somewhere"
    collector: Problems = field(default_factory=lambda: Problems("somewhere"))

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> Discs:
        return self.videos[index]


def clips_of(*videos: Discs, **options: object) -> VideoClips:
    given = {"size": 120, "geometry": PLAIN, "colours": AS_IS, **options}
    return VideoClips(Videos(videos), **given)  # type: ignore[arg-type]


def times_of(clip: object) -> list[int]:
    """Numbers of the frames, told by the first disc's value."""
    found = []
    for frame in clip.frames:  # type: ignore[attr-defined]
        values = frame[0][(frame[0] >= 100) & (frame[0] < 150)]
        found.append(int(values.mode().values) - 100)
    return found


def test_frames_are_evenly_spaced_and_run_both_ways() -> None:
    source = clips_of(Discs(num_frames=16), length=40, sampling=VideoSampling(num_frames=4))
    strides = set()
    for clip in source:
        steps = np.diff(times_of(clip))
        assert len(set(steps.tolist())) == 1
        strides.add(int(steps[0]))
        assert clip.frames.shape == (4, 3, 120, 120)
    assert strides == {-4, -3, -2, -1, 1, 2, 3, 4}


def test_short_videos_run_to_and_fro_and_one_frame_stands_still() -> None:
    rng = np.random.default_rng(0)
    forth = VideoSampling(num_frames=8, reversed=0.0)
    assert forth.frames(rng, 3).tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert forth.frames(rng, 2).tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert forth.frames(rng, 1).tolist() == [0] * 8
    assert forth.frames(rng, 8).tolist() == list(range(8))
    clip = clips_of(Discs(num_frames=1))[0]
    assert times_of(clip) == [0] * 8


def test_masks_stay_on_their_objects() -> None:
    source = clips_of(Discs(), length=20, geometry=Geometry(), size=96)
    for clip in source:
        for k in range(len(clip.masks)):
            values = [clip.frames[t, 0][clip.masks[k, t]] for t in range(8)]
            seen = [v.float().median() for v in values if len(v) > 60]
            assert all(v >= 100 for v in seen)
            kinds = {bool(v > 180) for v in seen}
            assert len(kinds) <= 1  # the same object in all frames
        bright = clip.frames[:, 0] > 60
        if len(clip.masks) == 2:
            wrong = (bright ^ clip.masks.any(0)).flatten(1).sum(1)
            assert (wrong < 90).all()


def test_an_object_that_vanishes_and_returns_has_empty_masks_between() -> None:
    video = Discs(num_frames=8, gone=frozenset((3, 4)))
    clip = clips_of(video, sampling=VideoSampling(max_stride=1, reversed=0.0))[0]
    visible = {tuple(row) for row in clip.visible().tolist()}
    assert visible == {(True,) * 8, (True, True, True, False, False, True, True, True)}
    assert clip.annotated.all()


def test_frames_with_a_damaged_mask_are_not_counted_as_absence() -> None:
    video = Discs(num_frames=8, unreadable=frozenset((1, 2, 5)))
    clip = clips_of(video, sampling=VideoSampling(max_stride=1, reversed=0.0))[0]
    wanted = [True, False, False, True, True, False, True, True]
    assert clip.annotated.tolist() == [wanted, wanted]
    assert clip.visible().tolist() == [wanted, wanted]


def test_frames_without_a_mask_are_not_taken() -> None:
    video = Discs(num_frames=20, unannotated=frozenset(i for i in range(20) if i % 5))
    sampling = VideoSampling(num_frames=4, reversed=0.0)
    assert times_of(clips_of(video, sampling=sampling)[0]) == [0, 5, 10, 15]
    assert len(VideoFrames(Videos((video,)), every=2)) == 2


def test_samples_follow_from_seed_epoch_and_index() -> None:
    first, again = (clips_of(Discs(), Discs(name="b"), geometry=Geometry(), seed=2) for _ in "ab")
    for i in range(2):
        assert torch.equal(first[i].frames, again[i].frames)
        assert not torch.equal(first[i].frames, first[i + 2].frames)


@dataclass
class Forgetful(Discs):
    """As a ``VideoSequence`` does, it drops a frame whose mask turns out to be damaged."""

    met: set[int] = field(default_factory=set)

    @property
    def annotated(self) -> tuple[int, ...]:
        return tuple(i for i in range(self.num_frames) if i not in self.met)

    def object_masks(self, index: int) -> dict[int, np.ndarray] | None:
        if index in self.unreadable:
            self.met.add(index)
            return None
        return self.places(index, self.mask_size)


def test_what_was_read_before_changes_no_clip() -> None:
    damaged = frozenset((2, 3, 11))
    fresh = clips_of(Forgetful(unreadable=damaged), length=8)
    last = fresh[7]
    used = clips_of(Forgetful(unreadable=damaged), length=8)
    clips = [used[index] for index in range(8)]
    assert torch.equal(clips[7].frames, last.frames)
    assert torch.equal(clips[7].annotated, last.annotated)
    assert not all(clip.annotated.all() for clip in clips), "frames of damaged masks are there"


def test_damaged_frames_are_passed_over_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    broken = Discs(name="broken", damaged=frozenset(range(20)))
    source = clips_of(broken, Discs())
    with caplog.at_level(logging.WARNING):
        assert source[0].visible().any()
    assert "somewhere: broken: empty file" in caplog.text
    with pytest.raises(
        InvalidValue, match=r"16 clips in a row were damaged .* the last of 'broken'"
    ):
        clips_of(broken)[0]
    with caplog.at_level(logging.WARNING), pytest.raises(InvalidValue, match="16 clips"):
        clips_of(Discs(mask_size=(80, 60)))[0]
    assert "a mask of 80x60 for a frame of 160x120 pixels" in caplog.text


def test_a_set_without_objects_is_refused() -> None:
    with pytest.raises(InvalidValue, match="somewhere has no video with an annotated frame"):
        clips_of(Discs(unannotated=frozenset(range(20))))


def test_frames_serve_synthetic_clips() -> None:
    frames = VideoFrames(Videos((Discs(damaged=frozenset((5,))),)), every=5)
    assert len(frames) == 4
    frame = first_readable(frames, 1)
    assert (frame.index, frame.name) == (2, "frame 10 of discs")
    assert frames.problems == ("frame 5 of discs: empty file",)
    assert [int(shape().sum()) for shape in frame.targets.shapes] == [
        int(mask.sum()) for mask in Discs().places(10).values()
    ]
    clip = SyntheticClips([(frames, 1.0)], 3, size=64)[0]
    assert clip.visible().any(1).all()
