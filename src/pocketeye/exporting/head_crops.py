"""Take crops of images to quantise the two heads of Mask R-CNN with, as the artefact takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from pocketeye.artifacts.mask_rcnn_numpy import BOX_SIDE, MASK_SIDE, Graph, MaskRCNNDecoder
from pocketeye.artifacts.roi_numpy import pyramid_crops
from pocketeye.errors import InvalidValue
from pocketeye.models import MaskRCNN, RawBoxHead, RawProposals
from pocketeye.progress import task

# Every image costs a pass of the network in torch, every batch one of the calibrator.
_IMAGES = 16
_BOX_BATCHES, _MASK_BATCHES = 2, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadCrops:
    """Hold crops in batches of the heads' static size; the last is filled up with the first crops.

    Attributes:
        box: of the box head, each ``(B, C, 7, 7)``.
        mask: of the mask head, each ``(M, C, 14, 14)``.
        num_box, num_mask: without those that fill up.
        num_images: that they were taken from.
        masks_of: ``objects`` that were found, or the best ``proposals`` where nothing was.
    """

    box: tuple[np.ndarray, ...]
    mask: tuple[np.ndarray, ...]
    num_box: int
    num_mask: int
    num_images: int
    masks_of: str

    def to_dict(self) -> dict[str, Any]:
        """Return counts, as they are stored; the crops themselves are not."""
        return {
            "box_crops": self.num_box, "mask_crops": self.num_mask, "mask_crops_of": self.masks_of,
            "crops_from_images": self.num_images,
        }  # fmt: skip

    def line(self) -> str:
        """Describe the crops in a few words."""
        return (
            f"box head: {self.num_box} crops of proposals; mask head: {self.num_mask} crops of "
            f"{self.masks_of}; from {self.num_images} images"
        )


def head_crops(
    network: MaskRCNN,
    raw: RawProposals,
    images: Sequence[tuple[np.ndarray, tuple[int, int]]],
    crops_per_run: tuple[int, int],
) -> HeadCrops:
    """Go the artefact's way in fp32 and keep what the heads would be given.

    Args:
        raw: the first graph of ``network``, in eval mode.
        images: ``(1, 3, H, W)`` and the height and width of the image in it, as
            :func:`pocketeye.artifacts.semantic_numpy.prepare` gives them; 16 at most are used.
        crops_per_run: of the box head and of the mask head.

    Raises:
        InvalidValue: nothing is proposed in any of them.
    """
    images = _evenly(images, _IMAGES)
    # The artefact's own numpy code: its crops differ a little from torchvision's.
    decoder = MaskRCNNDecoder(**raw.decoder())
    first, box_head = _graph(raw), _graph(RawBoxHead(network).eval())
    per_image = [
        math.ceil(batches * size / len(images))
        for batches, size in zip((_BOX_BATCHES, _MASK_BATCHES), crops_per_run, strict=True)
    ]
    rows: list[tuple[np.ndarray, ...]] = []
    with task("taking crops to quantise with", len(images)) as bar:
        for image, size in images:
            maps, proposals = decoder.first_stage(image, first, size)
            found = decoder.second_stage(maps, proposals, box_head, crops_per_run[0], size)
            # Evenly over the ranks: the best proposals alone would give ranges of clear objects.
            chosen = (
                (_evenly(proposals, per_image[0]), BOX_SIDE),
                (_evenly(found.boxes, per_image[1]), MASK_SIDE),
                (proposals[: per_image[1]], MASK_SIDE),
            )
            rows.append(tuple(pyramid_crops(maps, decoder.strides, *row) for row in chosen))
            bar.advance()
    box, objects, best = (np.concatenate(column) for column in zip(*rows, strict=True))
    if not len(box):
        raise InvalidValue(
            "the network proposes nothing in the images, so that its heads cannot be quantised: "
            "give --data with images like those it was trained on, or export in fp32"
        )
    # A network that finds nothing yet (hardly trained) can be quantised all the same.
    mask = objects if len(objects) else best
    return HeadCrops(
        box=_batches(box, crops_per_run[0], _BOX_BATCHES),
        mask=_batches(mask, crops_per_run[1], _MASK_BATCHES),
        num_box=min(len(box), _BOX_BATCHES * crops_per_run[0]),
        num_mask=min(len(mask), _MASK_BATCHES * crops_per_run[1]),
        num_images=len(images),
        masks_of="objects" if len(objects) else "proposals",
    )


def _graph(module: nn.Module) -> Graph:
    """Return a module as a function of arrays."""

    def run(array: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            return [output.numpy() for output in module(torch.from_numpy(array))]

    return run


def _evenly(rows: Any, most: int) -> Any:
    """Pick at most so many rows, the first and the last among them."""
    if len(rows) <= most:
        return rows
    chosen = np.linspace(0, len(rows) - 1, most).round().astype(int)
    return rows[chosen] if isinstance(rows, np.ndarray) else [rows[k] for k in chosen]


def _batches(crops: np.ndarray, size: int, most: int) -> tuple[np.ndarray, ...]:
    count = min(math.ceil(len(crops) / size), most)
    # Filled up by beginning again: zeros are no crops that a head will ever be given.
    order = np.arange(count * size).reshape(count, size) % len(crops)
    return tuple(crops[row] for row in order)
