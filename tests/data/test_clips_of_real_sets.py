"""Training clips of the real sets: every source gives what training expects."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.data.clips.clips import ClipSource, MixedClips, collate_clips
from pocketeye.data.clips.images import ImageClips
from pocketeye.data.clips.sheet import clip_sheet
from pocketeye.data.clips.synthetic import SyntheticClips
from pocketeye.data.clips.videos import VideoClips, VideoFrames
from pocketeye.data.mask_sets.samples import load_masks
from pocketeye.data.vos.layouts import load_videos


@pytest.fixture
def sources(datasets: Path) -> dict[str, ClipSource]:
    coco = load_masks(datasets / "coco-mini", "train")
    videos = load_videos(datasets / "davis2016-train", "train")
    galleries = [(coco, 1.0), (VideoFrames(videos), 1.0)]
    return {
        "images": ImageClips(coco, size=128),
        "videos": VideoClips(videos, size=128),
        "synthetic": SyntheticClips(galleries, 40, size=128),
    }


def test_what_the_sets_hold(datasets: Path) -> None:
    coco = load_masks(datasets / "coco-mini", "train")
    assert (len(coco), coco.problems) == (175, ())  # three of the 178 have no annotation
    cells = load_masks(datasets / "dsb2018", "val")
    assert (len(cells), cells.problems) == (40, ())
    assert all(shape().any() for shape in cells.read(0).targets.shapes)


def test_every_source_gives_clips(sources: dict[str, ClipSource]) -> None:
    for name, source in sources.items():
        clips = [pickle.loads(pickle.dumps(source))[index] for index in range(4)]
        batch = collate_clips(clips)
        assert batch.frames.shape == (4, 1 if name == "images" else 8, 3, 128, 128), name
        assert batch.visible().any(1).all(), name
        assert torch.bincount(batch.clip_of).max() <= 3
        sheet = np.asarray(clip_sheet(clips))
        plain = np.asarray(clip_sheet(clips, bare=True))
        assert sheet.shape == (4 * 132 - 4, batch.frames.shape[1] * 132 - 4, 3)
        assert (sheet != plain).any()
        assert (plain[:128, :128] == clips[0].frames[0].permute(1, 2, 0).numpy()).all()


def test_the_six_dev_clips_are_not_among_the_training_clips(datasets: Path) -> None:
    root = datasets / "davis2016-train"
    train = {video.name for video in load_videos(root, "train")}
    dev = {video.name for video in load_videos(root, "dev")}
    assert (len(train), len(dev), len(train & dev)) == (24, 6, 0)


def test_images_and_clips_are_mixed_batch_by_batch(sources: dict[str, ClipSource]) -> None:
    mixed = MixedClips([(source, 1.0) for source in sources.values()], 12, seed=1, group=2)
    lengths = [len(clip.frames) for clip in mixed]
    assert lengths[::2] == lengths[1::2]
    assert set(lengths) == {1, 8}
