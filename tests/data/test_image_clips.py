"""Annotated images as clips of one frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.data.clips.geometry import Geometry, warp_clip
from pocketeye.data.clips.images import ImageClips, _drawn
from pocketeye.data.clips.light import Colours
from pocketeye.data.mask_sets.samples import load_masks
from pocketeye.errors import InvalidValue
from tests.data.mask_layouts import big_labels, disc, write_labels, write_sa1b

PLAIN = Geometry(degrees=0, shear=0, scale=(1.0, 1.0), flip=0.0)
AS_IS = Colours(brightness=0, contrast=0, saturation=0, grey=0)


def test_without_augmentation_a_image_comes_as_it_is(tmp_path: Path) -> None:
    maps = big_labels(1)
    images = load_masks(write_labels(tmp_path, maps))
    clip = ImageClips(images, size=160, geometry=PLAIN, colours=AS_IS)[0]
    wanted = torch.from_numpy(np.asarray(images.read(0).image).transpose(2, 0, 1).copy())
    assert clip.frames.dtype == torch.uint8
    assert torch.equal(clip.frames[0], wanted)
    labels = torch.from_numpy(maps["00"])
    areas = sorted(int(mask.sum()) for mask in clip.masks)
    assert areas == sorted(int(m.sum()) for m in (labels > 0, labels == 3, labels == 7))
    assert clip.masks.shape == (3, 1, 160, 160)
    assert clip.annotated.all()


def test_masks_go_where_the_pixels_go(tmp_path: Path) -> None:
    """An image whose object is white on black: after any warp the white is where the mask is."""
    masks = big_labels(2)
    write_labels(tmp_path, masks)
    for name, labels in masks.items():
        Image.fromarray(np.where(labels > 0, 255, 0).astype(np.uint8)).save(
            tmp_path / "images" / f"{name}.jpg", quality=95
        )
    source = ImageClips(load_masks(tmp_path), size=128, max_objects=9, colours=AS_IS)
    seen = []
    for index in range(12):
        clip = source[index]
        whole = clip.masks.any(0)[0]
        white = clip.frames[0, 0] > 127
        assert (whole & white).sum() / (whole | white).sum() > 0.97
        seen.append(clip.frames)
    assert len({int(frames.sum()) for frames in seen}) == 12


def test_an_epoch_has_every_image_once(tmp_path: Path) -> None:
    maps = {f"{k}": np.full((64, 96), 1) * disc((30 + k, 30), 20) for k in range(4)}
    root = write_labels(tmp_path, maps)
    for k in range(4):
        Image.new("RGB", (96, 64), (60 * k, 0, 0)).save(root / "images" / f"{k}.jpg")
    source = ImageClips(load_masks(root), size=64, geometry=PLAIN, colours=AS_IS)
    assert sorted(round(int(clip.frames[0, 0, 0, 0]) / 60) for clip in source) == [0, 1, 2, 3]


def test_objects_too_small_to_train_on_are_passed_over(tmp_path: Path) -> None:
    write_sa1b(tmp_path, {"sa_1": [disc((20, 20), 1.5)], "sa_2": [disc((50, 30), 15)]})
    source = ImageClips(load_masks(tmp_path), size=64, geometry=PLAIN)
    assert all(source[0].masks.sum() > 300 for _ in range(3))  # the second's
    write_sa1b(tmp_path, {"sa_2": [disc((50, 30), 1.5)]})
    with pytest.raises(InvalidValue, match="none of the masks of 8 images in a row has 32 pixels"):
        source[0]


def test_geometry_rotates_in_the_images_own_pixels() -> None:
    rng = np.random.default_rng(0)
    turn = Geometry(degrees=25, shear=0, scale=(1.0, 1.0), flip=0.0, still=0.0)
    for aspect in (0.5, 1.0, 2.0):
        linear = turn.theta(rng, aspect)[0, :, :2]
        pixels = np.diag([aspect, 1.0]) @ linear @ np.diag([1 / aspect, 1.0])
        assert np.allclose(pixels @ pixels.T, np.eye(2))


def test_a_flip_mirrors_frames_and_masks() -> None:
    flip = Geometry(degrees=0, shear=0, scale=(1.0, 1.0), flip=1.0).theta(
        np.random.default_rng(0), 1
    )
    frames = torch.randint(0, 255, (2, 3, 16, 16), dtype=torch.uint8)
    masks = torch.rand(2, 2, 16, 16) > 0.5
    warped, moved = warp_clip(frames, masks, flip, 16)
    assert torch.allclose(warped, frames.flip(-1).float(), atol=1e-2)
    assert torch.equal(moved, masks.flip(-1))


def test_colours_are_alike_in_all_frames() -> None:
    frames = torch.rand(1, 3, 12, 12).mul(255).expand(4, -1, -1, -1).contiguous()
    changed = Colours(brightness=0.5, contrast=0.3, saturation=0.3)(
        frames, np.random.default_rng(1)
    )
    assert all(torch.equal(changed[0], frame) for frame in changed)
    assert (changed[0].float() - frames[0]).abs().mean() > 5
    grey = Colours(grey=1.0)(frames, np.random.default_rng(1)).int()
    assert (grey.amax(1) - grey.amin(1)).max() <= 1


def test_half_of_the_first_objects_are_whole_ones() -> None:
    rng = np.random.default_rng(0)
    drawn = [_drawn((True, *[False] * 9), rng) for _ in range(2000)]
    assert all(sorted(order.tolist()) == list(range(10)) for order in drawn)
    firsts = np.array([order[0] for order in drawn])
    assert np.mean(firsts == 0) == pytest.approx(0.5, abs=0.04)
    assert np.bincount(firsts)[1:].min() > 60  # and every part comes first at some time
    # without parts, or with nothing else, all are alike
    for whole in ((True,) * 4, (False,) * 4):
        firsts = np.array([_drawn(whole, rng)[0] for _ in range(2000)])
        assert np.bincount(firsts) == pytest.approx(500, abs=90)
