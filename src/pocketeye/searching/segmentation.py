"""Search by the class of every pixel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from pocketeye.data.loaders.loader import SampleLoader
from pocketeye.data.loaders.sampling import EpochSampler, Key
from pocketeye.data.semantic.samples import SemanticSet
from pocketeye.errors import InvalidValue
from pocketeye.models.dense.described import DenseDescription
from pocketeye.models.dense.pixel_head import PixelHead, SegmenterSpec, require_segmenters
from pocketeye.models.dense.preprocess import as_seen, normalised
from pocketeye.models.dense.semantic_fpn import resize
from pocketeye.models.size import sides
from pocketeye.models.space import SearchSpace
from pocketeye.searching.batches import Batch, Loader, Loss
from pocketeye.searching.config import SearchConfig
from pocketeye.searching.metric import PixelIoU
from pocketeye.searching.problem import batch_of, kept
from pocketeye.training.dense.data import SemanticDraws, SemanticOrder
from pocketeye.training.dense.recipe import DenseRecipe
from pocketeye.training.dense.task import pixel_loss

# Crops have far more pixels than a classifier's images: fewer of them will do.
_RECALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class Segmentation:
    """Learn the class of every pixel from crops, and judge it on whole images.

    Attributes:
        images: theta learns from ``config.theta_fraction`` of them, drawn by the seed.
        recipe: of Semantic FPN; of it the augmentation and the widths of pyramid and head.
        described: how the network sees: mean and standard deviation of the pixels.
    """

    images: SemanticSet
    recipe: DenseRecipe
    described: DenseDescription

    @property
    def loss(self) -> Loss:
        return _pixel_loss

    @property
    def metric(self) -> PixelIoU:
        return PixelIoU(len(self.images.classes))

    @property
    def chance(self) -> None:
        return None  # of a mean over classes: to know it all masks would have to be read

    @property
    def problems(self) -> tuple[str, ...]:
        return self.images.problems

    @property
    def spec(self) -> SegmenterSpec:
        """Return classes and widths of pyramid and head."""
        return SegmenterSpec(
            num_classes=len(self.images.classes), fpn_channels=self.recipe.fpn_channels,
            head_channels=self.recipe.head_channels,
        )  # fmt: skip

    def check(self, space: SearchSpace) -> None:
        require_segmenters(space)

    def pixel_head(self, space: SearchSpace) -> PixelHead:
        return PixelHead(space, self.spec, self.recipe.drop_rate)

    def split(self, fraction: float, seed: int) -> tuple[SemanticSet, SemanticSet]:
        """Divide into (the rest, ``fraction`` of the images, at least one), drawn by ``seed``."""
        # Files of one scene often have neighbouring names: a random part, not the last one.
        order = np.random.default_rng(seed).permutation(len(self.images))
        count = max(round(fraction * len(order)), 1)
        # Sorted, so that reading goes through the files in order.
        rest, part = (self.images.subset(np.sort(o)) for o in (order[count:], order[:count]))
        return rest, part

    def loaders(self, space: SearchSpace, config: SearchConfig) -> tuple[Loader, Loader]:
        recipe = self._augmented(config)
        halves = self.split(config.theta_fraction, config.seed)
        weights, theta = (
            SampleLoader(
                _Crops(images, recipe, self.described),
                batch_size=batch_of(batch, len(images), config),
                sampler=EpochSampler(len(images), shuffle=True, seed=2 * config.seed + half),
                drop_last=True,
                num_workers=config.workers,
            )
            for half, (images, batch) in enumerate(
                zip(halves, (config.batch_size, config.theta_batch), strict=True)
            )
        )
        return weights, theta

    def judging(
        self, space: SearchSpace, config: SearchConfig, seed: int
    ) -> tuple[Iterable[Batch], Iterable[Batch]]:
        weights, held_out = self.split(config.theta_fraction, config.seed)
        crops = _Crops(weights, self._augmented(config), self.described)
        order = np.random.default_rng(seed).permutation(len(weights))[:_RECALIBRATION_IMAGES]
        batches = _Batches(crops, order, min(config.batch_size, len(order)), seed)
        bytes_of_crops = 13 * self.recipe.crop**2 * len(order)  # three fp32 and a byte per pixel
        height, width = sides(space.input_size)
        return (
            kept(batches, bytes_of_crops),
            kept(_Whole(held_out, self.described), 13 * height * width * len(held_out)),
        )

    def _augmented(self, config: SearchConfig) -> DenseRecipe:
        # Without augmentation crops stay, as batches need one size; flip and scale go.
        return self.recipe if config.augment else replace(self.recipe, flip=0.0, scale=(1.0, 1.0))


class _Whole:
    """Whole images as the network gets them, one a batch, with their labels at their own size.

    Damaged ones are left out and named in the set; iterating raises InvalidValue where all are.
    """

    def __init__(self, images: SemanticSet, described: DenseDescription) -> None:
        self.images, self.described = images, described

    def __iter__(self) -> Iterator[Batch]:
        order, usable = SemanticOrder(self.images), 0
        for item in map(order.__getitem__, range(len(order))):
            if item is not None:
                usable += 1
                yield as_seen(item.image, self.described)[None], item.labels[None]
        if not usable:
            # Damaged images are noted in the set; only where none is left there is nothing to rank
            # on.
            raise InvalidValue(
                f"none of the {len(order)} images of {self.images.source} that are kept to rank "
                "networks can be read: mend the data, or give more of it"
            )


class _Crops(Dataset[tuple[Tensor, Tensor]]):
    """Normalised crops (3, S, S) and their labels uint8 (S, S), by the keys of a sampler."""

    def __init__(
        self, images: SemanticSet, recipe: DenseRecipe, described: DenseDescription
    ) -> None:
        self.draws, self.described = SemanticDraws(images, recipe), described

    def __getitem__(self, key: Key) -> tuple[Tensor, Tensor]:
        item = self.draws.draw(key.sample, np.random.default_rng(key.seed))
        return normalised(item.image, self.described), item.labels


class _Batches:
    """Give crops of the images in ``order``, the same at every iteration."""

    def __init__(self, crops: _Crops, order: NDArray[np.int64], size: int, seed: int) -> None:
        self.crops, self.order, self.size, self.seed = crops, order, size, seed

    def __iter__(self) -> Iterator[Batch]:
        # The seed of a crop belongs to its image: every network is recalibrated on the same pixels.
        keys = [Key(int(sample), self.seed + at) for at, sample in enumerate(self.order)]
        for start in range(0, len(keys), self.size):
            items = [self.crops[key] for key in keys[start : start + self.size]]
            images, labels = zip(*items, strict=True)
            yield torch.stack(images), torch.stack(labels)


def _pixel_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of logits brought to the size of the labels."""
    return pixel_loss(resize(logits, tuple(labels.shape[-2:])), labels)
