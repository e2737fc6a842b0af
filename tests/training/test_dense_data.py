"""Images for detectors and segmenters: where pixels go, boxes, masks and labels go."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.data.detection.samples import DetectionSet, load_detection
from pocketeye.data.seeded import turn
from pocketeye.data.semantic.samples import SemanticSet, load_semantic
from pocketeye.training.dense.data import (
    DetectionDraws,
    DetectionOrder,
    SemanticDraws,
    SemanticOrder,
    collate_crops,
    collate_items,
    samples_per_epoch,
)
from pocketeye.training.dense.recipe import DenseRecipe
from tests.training.dense_sets import COLOURS, write_coco_discs, write_semantic_discs

INSTANCE = DenseRecipe(task="instance", batch_size=2, flip=0.5)
SEMANTIC = DenseRecipe(
    task="semantic",
    batch_size=2,
    crop=64,
    train_sizes=(64, 80),
    input_size=64,
    max_size=512,
    flip=0.5,
)


@pytest.fixture
def discs(tmp_path: Path) -> DetectionSet:
    root = write_coco_discs(tmp_path / "coco", {"train": 5, "val": 2})
    return load_detection(root, "train", masks=True)


@pytest.fixture
def labelled(tmp_path: Path) -> SemanticSet:
    return load_semantic(write_semantic_discs(tmp_path / "sem", {"train": 5, "val": 2}), "train")


def test_boxes_and_masks_stay_on_their_objects(discs: DetectionSet) -> None:
    source = DetectionDraws(discs, INSTANCE)
    mirrored = 0
    for number in range(20):
        item = source[number]
        assert item.image.dtype == torch.uint8
        assert item.masks is not None
        assert len(item.boxes) == len(item.labels) == len(item.masks) == 2
        for box, label, mask in zip(item.boxes, item.labels, item.masks, strict=True):
            inside = item.image[:, mask].float().mean(1)
            wanted = torch.tensor(COLOURS[int(label)]).float()
            assert (inside - wanted).abs().max() < 12
            rows, columns = torch.nonzero(mask, as_tuple=True)
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert (box - torch.tensor([int(side) for side in found])).abs().max() <= 1
        plain = np.asarray(discs.read(item.number).image).transpose(2, 0, 1)
        mirrored += not np.array_equal(item.image, plain)
    assert 3 < mirrored < 17
    assert not any(type(x).__name__ == "Image" for x in source[0][:3])  # plain tensors


def test_every_image_comes_once_before_any_comes_again(discs: DetectionSet) -> None:
    source = DetectionDraws(discs, replace(INSTANCE, steps_per_epoch=2))
    assert len(source) == 4 == samples_per_epoch(source_config(source), 5)
    for start in (0, 5, 10):  # whatever the length of an epoch
        assert sorted(source[start + k].number for k in range(5)) == list(range(5))
    assert samples_per_epoch(INSTANCE, 5) == 6
    orders = {tuple(turn(0, 5 * p + k, 5) for k in range(5)) for p in range(6)}
    assert len(orders) > 3


def source_config(source: DetectionDraws) -> DenseRecipe:
    return replace(INSTANCE, steps_per_epoch=len(source) // 2)


def test_samples_follow_from_seed_and_number(discs: DetectionSet, labelled: SemanticSet) -> None:
    jitter = {"brightness": 0.3, "hue": 0.1}
    detect, semantic = replace(INSTANCE, **jitter), replace(SEMANTIC, **jitter)
    for make in (
        lambda seed: DetectionDraws(discs, replace(detect, seed=seed)),
        lambda seed: SemanticDraws(labelled, replace(semantic, seed=seed)),
    ):
        first, again, other = make(1), make(1), make(2)
        state = torch.get_rng_state()
        same = [torch.equal(first[k].image, again[k].image) for k in (3, 0, 7)]
        assert all(same)
        assert torch.equal(torch.get_rng_state(), state)
        assert any(not torch.equal(first[k].image, other[k].image) for k in range(3))


def test_crops_and_their_labels(labelled: SemanticSet) -> None:
    source = SemanticDraws(labelled, SEMANTIC)
    images, labels = collate_crops([source[k] for k in range(12)])
    assert images.shape == (12, 3, 64, 64)
    assert labels.shape == (12, 64, 64)
    assert set(labels.unique().tolist()) <= {0, 1, 2, 255}
    red, blue = images[:, 0].float(), images[:, 2].float()
    assert ((red - blue > 60) == (labels == 1)).float().mean() > 0.97
    assert ((blue - red > 60) == (labels == 2)).float().mean() > 0.97
    # an image smaller than the crop is filled up with what counts for nothing
    small = SemanticDraws(labelled, replace(SEMANTIC, train_sizes=(32,), scale=(0.5, 0.6)))
    assert all((small[k].labels == 255).float().mean() > 0.5 for k in range(5))


def test_no_class_fills_a_crop_if_another_can_be_had(labelled: SemanticSet) -> None:
    def fullest(ratio: float) -> float:
        large = replace(SEMANTIC, cat_max_ratio=ratio, crop=32, train_sizes=(72,), scale=(1.0, 1.0))
        source = SemanticDraws(labelled, large)
        shares = []
        for k in range(60):
            counts = Counter(source[k].labels.flatten().tolist())
            shares.append(max(counts.values()) / counts.total() > 0.65)
        return float(np.mean(shares))

    assert fullest(0.65) < 0.1 < 0.2 < fullest(1.0)


def test_validation_is_in_order_and_leaves_damaged_images_out(
    tmp_path: Path, discs: DetectionSet, labelled: SemanticSet
) -> None:
    order = DetectionOrder(discs)
    assert [item.number for item in order if item is not None] == [0, 1, 2, 3, 4]
    discs.path(1).write_bytes(b"no image")
    assert order[1] is None
    assert len(collate_items([order[0], order[1]])) == 1
    assert any("001.png" in problem for problem in discs.problems)
    # training takes the next one in its place
    numbers = {DetectionDraws(discs, INSTANCE)[k].number for k in range(10)}
    assert numbers == {0, 2, 3, 4}
    whole = SemanticOrder(labelled)
    item = whole[0]
    assert item is not None
    assert item.image.shape[1:] == item.labels.shape == (72, 96)
    labelled.mask_path(2).write_bytes(b"no mask")
    assert whole[2] is None
