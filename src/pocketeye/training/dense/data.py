"""Give detectors and segmenters what they learn from and are judged on: images, transformed and drawn.

Augmentation is torchvision's transforms v2 on tv_tensors, so that boxes, masks and labels go where the
pixels go. Detectors resize images themselves, segmenters learn from crops of one size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from pocketeye.data import (
    IGNORE,
    ImageObjects,
    Sample,
    SampleSet,
    first_readable,
    readable,
    require_a_class,
)
from pocketeye.data.loaders.images import seeded
from pocketeye.data.seeded import SeededDataset, turn
from pocketeye.devices import rank_and_world
from pocketeye.models.dense.preprocess import fitted
from pocketeye.training.dense.recipe import DenseRecipe

VF = v2.functional
_LEAST_SIDE = 1.0  # pixels; a box that a crop or the border leaves less of is no object any more
_CROPS = 10  # as mmsegmentation tries, before it takes the last one
T = TypeVar("T")


class DetectionItem(NamedTuple):
    """Hold an image and its objects; crowds are left out in training.

    Attributes:
        image: uint8 ``(3, H, W)``.
        boxes: float32 ``(N, 4)`` x0, y0, x1, y1 in pixels.
        labels: int64 ``(N,)``.
        masks: bool ``(N, H, W)``, of instance segmentation.
        number: in the set.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor | None
    number: int


class SemanticItem(NamedTuple):
    """Hold an image and its labels.

    Attributes:
        image: uint8 ``(3, H, W)``.
        labels: uint8 ``(H, W)``.
        number: in the set.
    """

    image: Tensor
    labels: Tensor
    number: int


def steps_per_epoch(config: DenseRecipe, count: int) -> int:
    """Return the recipe's steps of the optimiser, or as many as one pass over ``count`` images needs."""
    world = max(rank_and_world()[1], config.num_processes)
    # What one step of the optimiser sees: all processes and accumulated batches.
    whole = config.batch_size * config.accumulate * world
    return config.steps_per_epoch or max(math.ceil(count / whole), 1)


def samples_per_epoch(config: DenseRecipe, count: int) -> int:
    """Return the number of images of an epoch, of all processes."""
    world = max(rank_and_world()[1], config.num_processes)
    return steps_per_epoch(config, count) * config.batch_size * config.accumulate * world


class _Draws(SeededDataset[T]):
    """Augmented images: every one once before any comes again, in a new order each pass.

    A damaged image is replaced by the next one.

    Args:
        images: the set.
        config: the recipe; of it the augmentation and the length of an epoch.
    """

    def __init__(self, images: SampleSet, config: DenseRecipe) -> None:
        super().__init__(config.seed)
        self.images, self.config = images, config
        self.length = samples_per_epoch(config, len(images))
        self.augment = v2.Compose([v2.RandomHorizontalFlip(config.flip), *_jitter(config)])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> T:
        # A generator of its own for each sample: the order of workers does not matter.
        rng = np.random.default_rng((self.seed % (1 << 63), index))
        return self.draw(turn(self.seed, index, len(self.images)), rng)


class _Order(SeededDataset[T]):
    """Give images as they are, in order, for judging; None for a damaged one, which the set names.

    For judging damage is noted, not replaced: another image would be counted twice.
    """

    def __init__(self, images: SampleSet) -> None:
        super().__init__()
        self.images = images

    def __len__(self) -> int:
        return len(self.images)


class DetectionDraws(_Draws[DetectionItem]):
    """Augmented images with boxes, of any size."""

    def draw(self, index: int, rng: np.random.Generator) -> DetectionItem:
        """Image ``index`` of the set, or the next that is whole.

        Raises:
            InvalidValue: 16 damaged ones in a row.
        """
        sample = first_readable(self.images, index)
        item = detection_item(sample, masks=self.config.record.outlines_objects, crowds=False)
        # torchvision draws from torch's global generator: it is seeded for the sample alone.
        with seeded(int(rng.integers(1 << 62))):
            pixels, target = self.augment(tv_tensors.Image(item.image), _as_tv(item))
        masks = target.get("masks")
        return DetectionItem(
            image=pixels.as_subclass(Tensor),
            boxes=target["boxes"].as_subclass(Tensor),
            labels=item.labels,
            masks=None if masks is None else masks.as_subclass(Tensor),
            number=item.number,
        )


class DetectionOrder(_Order[DetectionItem | None]):
    """Whole images with boxes, crowds too."""

    def draw(self, index: int, rng: np.random.Generator) -> DetectionItem | None:
        sample = _read_or_note(self.images, index)
        return None if sample is None else detection_item(sample, masks=False, crowds=True)


def detection_item(sample: Sample[ImageObjects], *, masks: bool, crowds: bool) -> DetectionItem:
    """Turn a sample into tensors; without ``crowds`` regions of many objects are left out."""
    objects = sample.targets
    # Crowds have no outline of one object to learn from; judging ignores what lies in them.
    keep = np.flatnonzero(np.ones(len(objects), bool) if crowds else ~objects.crowd)
    boxes = objects.boxes[keep]
    large = ((boxes[:, 2:] - boxes[:, :2]) >= _LEAST_SIDE).all(1)
    keep, boxes = keep[large], boxes[large]
    dense = None
    # Dense masks are large: they are made only for those who learn from them.
    if masks:
        width, height = objects.size
        found = [objects.mask(int(k)) for k in keep]
        dense = torch.from_numpy(np.stack(found) if found else np.zeros((0, height, width), bool))
    return DetectionItem(
        image=_pixels(sample.image),
        boxes=torch.from_numpy(boxes.astype(np.float32)).reshape(-1, 4),
        labels=torch.from_numpy(objects.labels[keep].astype(np.int64)),
        masks=dense,
        number=sample.index,
    )


class SemanticDraws(_Draws[SemanticItem]):
    """Augmented crops of one size."""

    def draw(self, index: int, rng: np.random.Generator) -> SemanticItem:
        """Raise InvalidValue for 16 damaged images in a row."""
        config = self.config
        sample = first_readable(self.images, index, require_a_class)
        image = tv_tensors.Image(_pixels(sample.image))
        mask = tv_tensors.Mask(torch.from_numpy(sample.targets))
        shorter = int(config.train_sizes[int(rng.integers(len(config.train_sizes)))])
        factor = float(rng.uniform(*config.scale))
        base = fitted((image.shape[-2], image.shape[-1]), shorter, config.max_size)
        size = [max(round(side * factor), 1) for side in base]
        image, mask = VF.resize(image, size, antialias=True), VF.resize(mask, size)
        image, mask = _padded(image, mask, config.crop)
        # Padding comes first: a crop must find its whole square.
        top, left = _crop_place(mask, config, rng)
        image, mask = (VF.crop(x, top, left, config.crop, config.crop) for x in (image, mask))
        # What is left, mirroring and colours, keeps the size of the crop.
        with seeded(int(rng.integers(1 << 62))):
            image, mask = self.augment(image, mask)
        return SemanticItem(image.as_subclass(Tensor), mask.as_subclass(Tensor), sample.index)


class SemanticOrder(_Order[SemanticItem | None]):
    """Whole images with their labels."""

    def draw(self, index: int, rng: np.random.Generator) -> SemanticItem | None:
        sample = _read_or_note(self.images, index)
        if sample is None:
            return None
        return SemanticItem(_pixels(sample.image), torch.from_numpy(sample.targets), index)


def collate_items(items: Sequence[Any]) -> list[Any]:
    """Return a batch of items of different sizes, without the damaged ones."""
    return [item for item in items if item is not None]


def collate_crops(items: Sequence[SemanticItem]) -> tuple[Tensor, Tensor]:
    """Stack crops to uint8 ``(B, 3, S, S)`` and labels ``(B, S, S)``."""
    return torch.stack([item.image for item in items]), torch.stack([item.labels for item in items])


def _jitter(config: DenseRecipe) -> list[Any]:
    amounts = {
        name: getattr(config, name) for name in ("brightness", "contrast", "saturation", "hue")
    }
    return [v2.ColorJitter(**amounts)] if any(amounts.values()) else []


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())


def _as_tv(item: DetectionItem) -> dict[str, Any]:
    """Mark boxes and masks as what they are, for transforms that move pixels."""
    size = (item.image.shape[-2], item.image.shape[-1])
    boxes = tv_tensors.BoundingBoxes(item.boxes, format="XYXY", canvas_size=size)  # type: ignore[call-arg]
    target: dict[str, Any] = {"boxes": boxes}
    if item.masks is not None:
        target["masks"] = tv_tensors.Mask(item.masks)
    return target


def _padded(image: Any, mask: Any, side: int) -> tuple[Any, Any]:
    """Pad to ``side`` pixels: black to the right and below, where labels are ignored."""
    height, width = image.shape[-2:]
    # To the right and below, so that places in the image stay as they are.
    amount = [0, 0, max(side - width, 0), max(side - height, 0)]
    if not any(amount):
        return image, mask
    return VF.pad(image, amount, fill=0), VF.pad(mask, amount, fill=IGNORE)


def _crop_place(mask: Tensor, config: DenseRecipe, rng: np.random.Generator) -> tuple[int, int]:
    """Choose the upper left corner of a crop that no class fills beyond ``cat_max_ratio``, if it can."""
    rows, columns = (length - config.crop + 1 for length in mask.shape[-2:])
    labels = np.asarray(mask)
    place = (0, 0)
    for _ in range(_CROPS):
        place = int(rng.integers(rows)), int(rng.integers(columns))
        seen = labels[place[0] : place[0] + config.crop, place[1] : place[1] + config.crop]
        # Ignored pixels count for no class.
        counts = np.bincount(seen.ravel(), minlength=IGNORE + 1)[:IGNORE]
        # A crop of one class teaches little (mmsegmentation's cat_max_ratio).
        if (counts > 0).sum() > 1 and counts.max() < config.cat_max_ratio * counts.sum():
            break
    return place


def _read_or_note(images: SampleSet[T], index: int) -> Sample[T] | None:
    """Read a sample; None for a damaged one, which is noted in the set."""
    return next(readable(images, [index]), None)
