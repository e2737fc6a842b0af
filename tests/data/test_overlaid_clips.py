"""Objects that pass over real clips: what is hidden is not in the masks, and look-alikes are others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.data.clips.clips import Clip, ClipSource
from pocketeye.data.clips.overlaid import OverlaidClips
from pocketeye.data.clips.synthetic import SyntheticOptions
from pocketeye.data.mask_sets.samples import MaskSet, load_masks
from tests.data.mask_layouts import big_labels, write_labels

SIZE, FRAMES = 128, 6


class OneSquare(ClipSource):
    """A white square on black that moves to the right; its last frame is not annotated."""

    def __len__(self) -> int:
        return 1

    def draw(self, index: int, rng: np.random.Generator) -> Clip:
        masks = torch.zeros(1, FRAMES, SIZE, SIZE, dtype=torch.bool)
        for frame in range(FRAMES):
            masks[0, frame, 40:88, 12 + 8 * frame : 60 + 8 * frame] = True
        frames = (255 * masks[0, :, None].expand(-1, 3, -1, -1)).to(torch.uint8)
        known = torch.ones(1, FRAMES, dtype=torch.bool)
        known[:, -1] = False
        return Clip(frames, masks, known)


@pytest.fixture
def discs(tmp_path: Path) -> MaskSet:
    return load_masks(write_labels(tmp_path, big_labels(4)))


def overlaid(discs: MaskSet, **options: object) -> OverlaidClips:
    drawn = SyntheticOptions(**options)  # type: ignore[arg-type]
    return OverlaidClips(
        OneSquare(), [(discs, 1.0)], 12, num_frames=FRAMES, size=SIZE, options=drawn
    )


def test_the_videos_object_is_hidden_for_some_frames_and_comes_back(discs: MaskSet) -> None:
    clips = list(overlaid(discs, pasted=(1.0,), hidden=1.0))
    for clip in clips:
        assert clip.frames.shape == (FRAMES, 3, SIZE, SIZE)
        assert len(clip.masks) == 1  # what hides it is no target
        assert not clip.annotated[0, -1]
        assert clip.annotated[0, :-1].all()
        white = (clip.frames > 250).all(1)
        assert white[clip.masks[0]].float().mean() > 0.95  # its masks are where it is seen
    areas = torch.stack([clip.masks[0].flatten(1).sum(1) for clip in clips])
    assert (areas.amin(1) == 0).sum() >= 6
    assert ((areas[:, 0] > 0) & (areas[:, 1:-1].amin(1) == 0) & (areas[:, -1] > 0)).any()


def test_a_look_alike_is_an_object_of_its_own(discs: MaskSet) -> None:
    options = {"pasted": (0.0, 1.0), "hidden": 0.0, "twins": 1.0}
    clips = list(overlaid(discs, **options))
    both = [clip for clip in clips if len(clip.masks) == 2]
    assert len(both) >= 6
    for clip in both:
        assert not (clip.masks[0] & clip.masks[1]).any()
        assert sorted(clip.annotated[:, -1].tolist()) == [False, True]
    spread = [
        float(
            (clip.frames.amax(1).int() - clip.frames.amin(1).int())[clip.masks[row]].float().mean()
        )
        for clip in both
        for row in range(2)
        if clip.masks[row].any()
    ]
    assert np.median(spread) < 2  # both are grey, as the discs of the gallery are not
