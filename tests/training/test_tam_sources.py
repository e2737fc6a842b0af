"""The user's sets become the clips that a recipe asks for."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.data.files.splits import hold_out
from pocketeye.data.loaders.clips import ClipSampler, make_clip_loader
from pocketeye.data.sample import first_readable
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.training.tam.recipe import TamRecipe, samples_per_epoch
from pocketeye.training.tam.sources import open_sets, training_clips, validation_clips
from pocketeye.training.tam.task import startable
from tests.training.tam_clips import DiscClips, tiny_batch
from tests.training.tam_sets import SIZE, write_davis, write_images

CONFIG = TamRecipe(
    epochs=1, steps_per_epoch=4, batch_size=2, num_frames=3, val_clips=4, val_frames=4,
    synthetic_share=0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def davis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("davis")
    return write_davis(root, {"train": ["a", "b"], "dev": ["c"]})


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def test_a_sets_own_lists_divide_it(davis):
    sets = open_sets([str(davis)])
    assert [video.name for video in sets.videos[0]] == ["a", "b"]
    assert [video.name for video in sets.val_videos[0]] == ["c"]
    assert sets.lines() == [f"{davis} (train): 2 videos"]


def test_a_fifth_is_held_out_where_there_are_no_lists(images, tmp_path):
    sets = open_sets([str(images)])
    assert [len(part) for part in (*sets.images, *sets.val_images)] == [10, 2]
    trained = {first_readable(sets.images[0], k).image.tobytes() for k in range(10)}
    held = {first_readable(sets.val_images[0], k).image.tobytes() for k in range(2)}
    assert len(trained | held) == 12
    lone = write_davis(tmp_path / "lone", {"train": ["only"]})
    mixed = open_sets([str(images), str(lone)])
    assert [len(videos) for videos in mixed.videos] == [1]
    assert not mixed.val_videos
    with pytest.raises(InvalidValue, match="one sample is too few"):
        open_sets([str(lone)])


def test_what_is_held_out_takes_no_damaged_ones_place(tmp_path, caplog):
    """Where an image that trains is damaged the next one that trains comes instead."""
    root = write_images(tmp_path)
    damaged = sorted((root / "images").iterdir())[hold_out(12)[0][8]]
    content = damaged.read_bytes()
    damaged.write_bytes(content[: len(content) // 2])  # its header is whole
    sets = open_sets([str(root)])
    ours, held = sets.images[0], sets.val_images[0]
    validated = {first_readable(held, k).image.tobytes() for k in range(len(held))}
    numbers = [first_readable(ours, k).index for k in range(len(ours))]
    assert numbers == [0, 1, 2, 3, 4, 5, 6, 7, 9, 9]
    assert not validated & {first_readable(ours, k).image.tobytes() for k in range(len(ours))}
    assert caplog.text.count(f"{damaged.name}: ") == 1


def test_it_is_said_how_label_numbers_are_read(images):
    assert "parts of one thing" in open_sets([str(images)]).lines()[0]
    objects = open_sets([f"{images}:objects"])
    assert "each number is an object" in objects.lines()[0]
    assert all(objects.images[0].read(0).targets.whole)


def test_clips_of_both_kinds_in_one_epoch(davis, images):
    sets = open_sets([str(davis), str(images)])
    source = training_clips(sets, CONFIG, 64)
    assert len(source) == samples_per_epoch(CONFIG) == 8
    clips = list(islice(source, 8))
    assert {clip.frames.shape for clip in clips} == {(3, 3, 64, 64)}
    for clip in clips:
        assert clip.masks.flatten(1).any(1).all()
    again = training_clips(sets, CONFIG, 64)
    assert torch.equal(source[3].frames, again[3].frames)
    assert not torch.equal(source[3].frames, source[3 + 8].frames), "another epoch, another clip"


def test_images_come_in_batches_of_their_own(davis):
    config = replace(CONFIG, image_share=0.5, steps_per_epoch=12)
    source = training_clips(open_sets([str(davis)]), config, 64)
    loader = make_clip_loader(source, config.batch_size, training=True)
    lengths = [batch.frames.shape[1] for batch in loader]
    assert len(lengths) == 12
    assert set(lengths) == {1, 3}


def test_images_alone_make_clips_by_cutting_out(images):
    sets = open_sets([str(images)])
    assert training_clips(sets, CONFIG, 64)[0].frames.shape[0] == 3
    assert validation_clips(sets, CONFIG, 64)[0].frames.shape[0] == 4


def test_validation_is_as_it_was_filmed(davis):
    source = validation_clips(open_sets([str(davis)]), CONFIG, 64)
    assert len(source) == 4
    first = source[0]
    assert first.frames.shape == (4, 3, 64, 64)
    middle = [frame.nonzero().float().mean(0)[1].item() for frame in first.masks[0]]
    assert middle == sorted(middle), "the disc goes to the right"


def test_segment_anything_gets_single_frames_of_all_sets(davis, images):
    config = replace(CONFIG, task="segment-anything", num_frames=1)
    sets = open_sets([str(davis), str(images)])
    for source in (training_clips(sets, config, 64), validation_clips(sets, config, 64)):
        assert {clip.frames.shape[0] for clip in islice(source, 4)} == {1}


def test_frames_without_the_object_are_passed_over(tmp_path):
    davis = write_davis(tmp_path, {"train": ["a", "b"], "dev": ["c"]})
    for frame in (0, 5):
        empty = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        path = davis / "Annotations" / "480p" / "a" / f"{frame:05}.png"
        Image.fromarray(empty).save(path)
    config = replace(CONFIG, task="segment-anything", num_frames=1)
    source = training_clips(open_sets([str(davis)]), config, 64)
    assert all(clip.masks.any() for clip in islice(source, 8))


def test_nothing_there_is_a_sentence(tmp_path):
    with pytest.raises(MissingFile, match="no data at"):
        open_sets([str(tmp_path / "nowhere")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidValue, match="expected"):
        open_sets([str(tmp_path / "empty")])


def test_the_sampler_shares_an_epoch_out(monkeypatch):
    seen = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        sampler = ClipSampler(12, 3)
        sampler.set_epoch(2)
        assert len(sampler) == 6
        seen.append(list(sampler))
    assert seen == [[24, 25, 26, 30, 31, 32], [27, 28, 29, 33, 34, 35]]


def test_a_clip_starts_where_its_objects_are():
    batch = tiny_batch(2, 3, 2)  # the second object of each is absent in the last frame
    kept = startable(batch)
    assert kept.clip_of.tolist() == [0, 0, 1, 1]
    assert torch.equal(kept.frames, batch.frames)
    backwards = batch._replace(
        frames=batch.frames.flip(1), masks=batch.masks.flip(1), annotated=batch.annotated.flip(1)
    )
    assert startable(backwards).clip_of.tolist() == [0, 1], "absent objects cannot be prompted"
    masks = backwards.masks.clone()
    masks[:2, 0] = False
    turned = startable(backwards._replace(masks=masks))
    assert turned.clip_of.tolist() == [0, 0, 1]
    assert torch.equal(turned.frames[0], batch.frames[0])
    assert torch.equal(turned.frames[1], backwards.frames[1])
    nothing = startable(batch._replace(masks=torch.zeros_like(batch.masks)))
    assert len(nothing.masks) == 0


def test_disc_clips_are_what_the_other_tests_think():
    clip = DiscClips(1, 3, 2)[0]
    assert clip.visible().tolist() == [[True, True, True], [True, True, False]]
