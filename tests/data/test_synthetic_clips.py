"""Clips made of images: what is drawn, and that masks, frames and seeds agree."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from pocketeye.data.clips.clips import Clip, collate_clips
from pocketeye.data.clips.cutouts import cut_out, scene_of
from pocketeye.data.clips.light import Colours
from pocketeye.data.clips.motion import (
    Camera,
    object_maps,
    object_path,
    screen_maps,
    view_to_object,
)
from pocketeye.data.clips.synthetic import SyntheticClips, SyntheticOptions
from pocketeye.data.clips.warp import bend, inverse, points_of, sample
from pocketeye.data.files.annotations.shapes import Given
from pocketeye.data.files.cache import ByteCache
from pocketeye.data.mask_sets.samples import MaskSet, ObjectMasks, load_masks
from pocketeye.data.sample import Sample
from pocketeye.errors import InvalidValue
from tests.data.mask_layouts import big_labels, disc, write_labels, write_sa1b

AS_IS = Colours(brightness=0, contrast=0, saturation=0, grey=0)
PASTED = SyntheticOptions(pasted=(0.0, 0.0, 1.0), own=0.0, hidden=0.0, blurred=0.0)


@pytest.fixture
def discs(tmp_path: Path) -> MaskSet:
    return load_masks(write_labels(tmp_path, big_labels(4)))


def clips_of(images: MaskSet, count: int = 6, **options: object) -> list[Clip]:
    source = SyntheticClips([(images, 1.0)], count, size=64, **options)  # type: ignore[arg-type]
    return list(source)


def masked(pixels: np.ndarray, *masks: np.ndarray, whole: bool = True) -> Sample[ObjectMasks]:
    shapes = tuple(Given(mask) for mask in masks)
    targets = ObjectMasks(shapes, (whole,) * len(shapes))
    return Sample(index=0, name="image", image=Image.fromarray(pixels), targets=targets)


def test_shapes_and_what_is_promised(discs: MaskSet) -> None:
    for clip in clips_of(discs, 20, num_frames=5, max_objects=2):
        assert clip.frames.shape == (5, 3, 64, 64)
        assert clip.frames.dtype == torch.uint8
        assert 1 <= len(clip.masks) <= 2
        assert clip.masks.shape[1:] == (5, 64, 64)
        assert clip.masks.dtype == torch.bool
        assert clip.annotated.all()
        assert clip.visible().any(1).all()  # every target is to be seen at some time


def test_clips_follow_from_seed_epoch_and_index(discs: MaskSet) -> None:
    first, again = clips_of(discs, 4, seed=1), clips_of(discs, 4, seed=1)
    other = clips_of(discs, 4, seed=2)
    for a, b, c in zip(first, again, other, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
        assert not torch.equal(a.frames, c.frames)
    source = SyntheticClips([(discs, 1.0)], 4, size=64, seed=1)
    _ = source[0]
    source = pickle.loads(pickle.dumps(source))  # as a spawned process gets it
    assert not source.pool.scenes.values
    assert torch.equal(source[2].frames, first[2].frames)  # whatever came before it
    assert not torch.equal(source[4 + 2].frames, first[2].frames)  # the next epoch
    loader = DataLoader(source, batch_size=2, num_workers=2, collate_fn=collate_clips)
    frames = torch.cat([batch.frames for batch in loader])
    assert torch.equal(frames, torch.stack([clip.frames for clip in first]))


def test_masks_fit_what_is_seen(tmp_path: Path) -> None:
    """White objects on black images: the masks are where it is white."""
    maps = {name: np.where(labels > 0, 1, 0) for name, labels in big_labels(3).items()}
    root = write_labels(tmp_path, maps)
    for name, labels in maps.items():
        grey = Image.fromarray((labels * 255).astype(np.uint8))
        grey.save(root / "images" / f"{name}.jpg", quality=98)
    source = SyntheticClips(
        [(load_masks(root), 1.0)], 12, size=96, max_objects=9, colours=AS_IS,
        options=SyntheticOptions(pasted=(0.3, 0.4, 0.3), own=1.0, hidden=0.0, blurred=0.3),
    )  # fmt: skip
    compared = 0
    for clip in source:
        bright = clip.frames.float().mean(1)
        white = bright > bright.amax((1, 2), keepdim=True) * 0.5
        masks = clip.masks.any(0)
        for time in range(8):
            # two pixels of difference along the outline at most: soft edges, uneven light
            if masks[time].sum() > 300 and bright[time].max() > 100:
                wrong = (white[time] ^ masks[time]).sum() / masks[time].sum().sqrt()
                assert wrong < 6
                compared += 1
    assert compared > 40


def test_objects_hide_each_other_leave_and_return(discs: MaskSet) -> None:
    clips = clips_of(discs, 60, options=PASTED, seed=5)
    overlaps = sum(int(clip.masks.sum(0).max()) > 1 for clip in clips)
    assert overlaps == 0  # a pixel belongs to what is in front
    seen = [clip.visible()[k].tolist() for clip in clips for k in range(len(clip.masks))]
    gone = sum(not all(times) for times in seen)
    returned = sum("101" in "".join("01"[v] for v in turns(times)) for times in seen)
    assert gone > 5
    assert returned >= 1


def test_screens_hide_what_is_behind_them_and_are_no_targets(discs: MaskSet) -> None:
    screened = SyntheticOptions(pasted=(0.0, 1.0), own=0.0, hidden=1.0, blurred=0.0)
    clips = clips_of(discs, 40, options=screened, max_objects=3, seed=5)
    assert {len(clip.masks) for clip in clips} == {1}
    seen = [clip.visible()[0].tolist() for clip in clips]
    from_the_start = [times for times in seen if times[0]]
    assert sum(not all(times) for times in from_the_start) > 0.6 * len(from_the_start)
    returned = sum("101" in "".join("01"[v] for v in turns(times)) for times in seen)
    assert returned > 8


def test_an_object_is_wholly_behind_its_screen_at_one_time_at_least() -> None:
    rng = np.random.default_rng(4)
    for count in (2, 4, 8):
        path = object_path(rng, np.arange(float(count)), 1.5, None)
        linear = screen_maps(rng, path, 0.4)
        away = np.linalg.norm(linear[:, :, 2] - path, axis=1)
        half = np.linalg.norm(linear[:, :, :2], axis=1).min(1)
        hides = away + 0.4 <= half + 1e-9
        assert hides[1:].any()


def turns(times: list[bool]) -> list[bool]:
    """Without repetitions."""
    return [v for i, v in enumerate(times) if i == 0 or v != times[i - 1]]


def test_whole_images_move_with_their_own_objects(discs: MaskSet) -> None:
    alone = SyntheticOptions(pasted=(1.0,), own=0.0, blurred=0.0)
    clips = clips_of(discs, 8, options=alone, max_objects=3)
    assert all(len(clip.masks) >= 1 for clip in clips)
    # the union of its parts is the whole, in every frame: they move together
    three = [clip for clip in clips if len(clip.masks) == 3]
    assert three
    for clip in three:
        areas = clip.masks.flatten(2).sum(-1)
        whole = areas.argmax(0)
        for time in range(8):
            k = int(whole[time])
            parts = clip.masks[[j for j in range(3) if j != k], time].any(0)
            assert (parts ^ clip.masks[k, time]).sum() < 0.1 * areas[k, time] + 12


def test_a_cut_out_has_no_rim_of_its_old_background() -> None:
    """A red object on green: what is laid on blue shows no green."""
    mask = disc((80, 60), 40, (160, 120))
    pixels = np.where(mask[..., None], [255, 0, 0], [0, 255, 0]).astype(np.uint8)
    (cutout,) = cut_out(masked(pixels, mask), 256)
    colours, opacity = cutout.layer[:3].float(), cutout.layer[3:].float() / 255
    laid = opacity * colours
    assert laid[1].max() < 8
    assert (opacity > 0.5).sum() > 0.93 * mask.sum()
    assert opacity[0, 0].max() == 0


def test_what_is_not_cut_out() -> None:
    pixels = np.zeros((120, 160, 3), np.uint8)
    small, large = disc((60, 60), 15, (160, 120)), disc((60, 60), 40, (160, 120))
    cut_off = disc((10, 60), 40, (160, 120))
    for shape, whole, count in ((small, True, 0), (large, True, 1), (cut_off, True, 0),
                                (large, False, 0)):  # fmt: skip
        assert len(cut_out(masked(pixels, shape, whole=whole), 64)) == count
    assert scene_of(masked(pixels), 64).masks.shape == (0, 83, 83)


def test_a_set_without_usable_objects_is_refused(tmp_path: Path) -> None:
    images = load_masks(write_sa1b(tmp_path, {"sa_1": [disc((40, 30), 10)]}))
    source = SyntheticClips([(images, 1.0)], 4, size=64, options=PASTED)
    with pytest.raises(InvalidValue, match=r"no object to cut out in 64 images of .* 40x40 pixels"):
        source[0]


def test_maps_lead_there_and_back() -> None:
    rng = np.random.default_rng(0)
    times = np.arange(8.0)
    for _ in range(20):
        camera = Camera.random(rng, times, 1.5)
        path = object_path(rng, times, 1.5, None)
        theta = view_to_object(camera.still(), object_maps(rng, times, path, 0.7, 0.3))
        back = inverse(theta)
        middle = back[:, :, 2] * (1.5, 1.0)  # the cut-out's middle, in the view
        assert np.allclose(middle, path)
        corners = camera.to_image() @ np.array([[-1, 1, 1], [1, 1, 1], [0, 0, 1]]).T
        assert np.abs(corners[:, :, 2]).max() <= 1.0  # the camera's middle stays on the image
    assert (np.abs(object_path(rng, times, 1.5, None)).min(0) <= (1.2, 0.8)).all()


def test_an_object_that_is_near_another_meets_it() -> None:
    rng, times = np.random.default_rng(3), np.arange(8.0)
    for _ in range(20):
        other = object_path(rng, times, 1.0, None)
        assert np.linalg.norm(object_path(rng, times, 1.0, other) - other, axis=1).min() < 0.6


def test_points_and_bending() -> None:
    image = torch.rand(3, 32, 32)
    same = points_of(np.array([[[1.0, 0, 0], [0, 1.0, 0]]]), 32, (0, 0, 32, 32))
    assert torch.allclose(sample(image, same)[0], image, atol=1e-5)
    part = points_of(np.array([[[1.0, 0, 0], [0, 1.0, 0]]]), 32, (4, 8, 20, 30))
    assert torch.allclose(sample(image, part)[0], image[:, 8:30, 4:20], atol=1e-5)
    shift = np.zeros((1, 2, 4, 4))
    shift[:, 0] = 2 / 32  # one pixel to the right everywhere
    moved = sample(image, bend(same, shift))[0]
    assert torch.allclose(moved[:, :, :-1], image[:, :, 1:], atol=1e-4)


def test_the_cache_keeps_within_its_bytes() -> None:
    cache: ByteCache[bytes] = ByteCache(100, len)
    made = []

    def make(key: int) -> bytes:
        made.append(key)
        return bytes(40)

    for key in (1, 2, 1, 3, 1, 2):
        cache.get(key, lambda key=key: make(key))  # type: ignore[misc]
    assert made == [1, 2, 3, 2]  # 1 was used last when there was no room for 3
    assert cache.bytes == 80
