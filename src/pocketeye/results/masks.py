"""Hold binary masks of one image, stored small: the filled crop, one bit a pixel, deflated.

A packed crop never takes more than an eighth of a byte per pixel, and smooth masks deflate to a few
kilobytes, so hundreds of them can be kept where dense arrays cannot.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pocketeye.errors import InvalidType, InvalidValue
from pocketeye.results.rle import compress, decode_crop, encode_crop, expand

Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class CompactMask:
    """Hold one binary mask.

    Attributes:
        size: (width, height) of the image.
        box: (x0, y0, x1, y1) of the filled pixels, x1 and y1 outside; zeros for an empty mask.
        area: filled pixels.
        bits: the pixels of the box row by row, packed to bits and deflated.
    """

    size: tuple[int, int]
    box: Box
    area: int
    bits: bytes

    @classmethod
    def from_dense(cls, mask: np.ndarray) -> CompactMask:
        """Make a mask from a bool array ``(height, width)``; of other numbers all but 0 is filled.

        Raises:
            InvalidValue: not two axes, or no pixels.
        """
        if mask.ndim != 2 or not mask.size:
            raise InvalidValue(f"a mask must have the shape (height, width), got {mask.shape}")
        filled = mask if mask.dtype == np.bool_ else mask != 0
        rows = np.flatnonzero(filled.any(1))
        size = (mask.shape[1], mask.shape[0])
        if not len(rows):
            return cls._from_crop(np.zeros((0, 0), bool), (0, 0, 0, 0), size)
        y0, y1 = int(rows[0]), int(rows[-1]) + 1
        columns = np.flatnonzero(filled[y0:y1].any(0))
        x0, x1 = int(columns[0]), int(columns[-1]) + 1
        return cls._from_crop(filled[y0:y1, x0:x1], (x0, y0, x1, y1), size)

    @classmethod
    def from_rle(cls, rle: Mapping[str, Any]) -> CompactMask:
        """Make a mask from COCO's ``{"size": [height, width], "counts": ...}``, compressed or not.

        Raises:
            InvalidValue: the run lengths are damaged or of another size.
        """
        try:
            height, width = (int(side) for side in rle["size"])
            counts = rle["counts"]
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidValue(
                'a run-length mask is {"size": [height, width], "counts": ...}, '
                f"got {type(rle).__name__} with {sorted(rle) if isinstance(rle, Mapping) else rle}"
            ) from error
        runs = expand(counts) if isinstance(counts, str | bytes) else np.asarray(counts, np.int64)
        return cls._from_crop(*decode_crop(runs, (width, height)), (width, height))

    @classmethod
    def _from_crop(cls, crop: np.ndarray, box: Box, size: tuple[int, int]) -> CompactMask:
        # Level 1, the fastest: a tracker stores the masks of every frame.
        bits = zlib.compress(np.packbits(crop).tobytes(), 1)
        return cls(size=size, box=box, area=int(np.count_nonzero(crop)), bits=bits)

    def crop(self) -> np.ndarray:
        """Return the pixels of the box: bool ``(y1 - y0, x1 - x0)``."""
        x0, y0, x1, y1 = self.box
        packed = np.frombuffer(zlib.decompress(self.bits), np.uint8)
        pixels = np.unpackbits(packed, count=(y1 - y0) * (x1 - x0))
        return pixels.view(np.bool_).reshape(y1 - y0, x1 - x0)

    def dense(self) -> np.ndarray:
        """Return the mask as bool ``(height, width)``."""
        mask = np.zeros(self.size[::-1], bool)
        x0, y0, x1, y1 = self.box
        mask[y0:y1, x0:x1] = self.crop()
        return mask

    def to_rle(self, *, compressed: bool = True) -> dict[str, Any]:
        """Return COCO's ``{"size": [height, width], "counts": ...}``: a string, or a list of runs."""
        runs = encode_crop(self.crop(), self.box[0], self.box[1], self.size)
        counts = compress(runs) if compressed else runs.tolist()
        return {"size": [self.size[1], self.size[0]], "counts": counts}

    def resized(self, size: tuple[int, int]) -> CompactMask:
        """Resize to an image of (width, height): each pixel takes the nearest one's value."""
        scaled = Image.fromarray(self.dense()).resize(size, Image.Resampling.NEAREST)
        return CompactMask.from_dense(np.asarray(scaled))

    def intersection(self, other: CompactMask) -> int:
        """Count the pixels filled in both masks."""
        x0, y0 = max(self.box[0], other.box[0]), max(self.box[1], other.box[1])
        x1, y1 = min(self.box[2], other.box[2]), min(self.box[3], other.box[3])
        if x0 >= x1 or y0 >= y1:  # boxes apart: nothing is inflated
            return 0
        mine, theirs = (
            m.crop()[y0 - m.box[1] : y1 - m.box[1], x0 - m.box[0] : x1 - m.box[0]]
            for m in (self, other)
        )
        return int(np.count_nonzero(mine & theirs))

    def iou(self, other: CompactMask) -> float:
        """Return intersection over union, 0 to 1; 1 where both masks are empty."""
        if self.size != other.size:
            raise InvalidValue(
                f"masks of images of {_size_text(self.size)} and {_size_text(other.size)} "
                "cannot be compared"
            )
        both = self.intersection(other)
        union = self.area + other.area - both
        # Both empty: the network was right that nothing is there (DAVIS's rule).
        return both / union if union else 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks(Sequence[CompactMask]):
    """Hold the masks of one image, one per object; they may overlap.

    Attributes:
        size: (width, height) of the image.
        items: the masks, in the order of the objects.
    """

    size: tuple[int, int]
    items: tuple[CompactMask, ...] = ()

    def __post_init__(self) -> None:
        for index, item in enumerate(self.items):
            if item.size != self.size:
                raise InvalidValue(
                    f"mask {index} is of an image of {_size_text(item.size)}, "
                    f"the others of {_size_text(self.size)}"
                )

    @classmethod
    def from_dense(cls, masks: np.ndarray) -> Masks:
        """Make masks from a bool array ``(N, height, width)``.

        Raises:
            InvalidValue: not three axes.
        """
        if masks.ndim != 3:
            raise InvalidValue(f"masks must have the shape (N, height, width), got {masks.shape}")
        items = tuple(CompactMask.from_dense(mask) for mask in masks)
        return cls(size=(masks.shape[2], masks.shape[1]), items=items)

    @classmethod
    def from_rle(
        cls, rles: Iterable[Mapping[str, Any]], size: tuple[int, int] | None = None
    ) -> Masks:
        """Make masks from COCO's run lengths.

        Args:
            rles: one mapping per mask, compressed or not.
            size: (width, height), needed only where there is no mask.
        """
        items = tuple(CompactMask.from_rle(rle) for rle in rles)
        if size is None and not items:
            raise InvalidValue("no masks and no size: give size=(width, height)")
        return cls(size=size or items[0].size, items=items)

    @classmethod
    def from_labels(cls, labels: np.ndarray) -> tuple[Masks, tuple[int, ...]]:
        """Return masks and object ids of a label image ``(height, width)``, whose 0 is background."""
        ids = tuple(int(value) for value in np.unique(labels) if value != 0)
        items = tuple(CompactMask.from_dense(labels == value) for value in ids)
        return cls(size=(labels.shape[1], labels.shape[0]), items=items), ids

    def dense(self) -> np.ndarray:
        """Return the masks as bool ``(N, height, width)``."""
        masks = np.zeros((len(self.items), self.size[1], self.size[0]), bool)
        for mask, item in zip(masks, self.items, strict=True):
            x0, y0, x1, y1 = item.box
            mask[y0:y1, x0:x1] = item.crop()
        return masks

    def union(self) -> np.ndarray:
        """Return where any mask is filled, bool ``(height, width)``."""
        filled = np.zeros((self.size[1], self.size[0]), bool)
        for item in self.items:
            x0, y0, x1, y1 = item.box
            filled[y0:y1, x0:x1] |= item.crop()
        return filled

    @property
    def boxes(self) -> np.ndarray:
        """Boxes, float32 ``(N, 4)``: x0, y0, x1, y1 in pixels, x1 and y1 outside."""
        return np.array([item.box for item in self.items], np.float32).reshape(-1, 4)

    @property
    def areas(self) -> np.ndarray:
        """Filled pixels, int64 ``(N,)``."""
        return np.array([item.area for item in self.items], np.int64)

    @property
    def nbytes(self) -> int:
        """Number of bytes that the stored pixels take."""
        return sum(len(item.bits) for item in self.items)

    def iou(self, other: Masks) -> np.ndarray:
        """Return intersection over union of every pair, float64 ``(N, M)``."""
        values = [[mine.iou(theirs) for theirs in other.items] for mine in self.items]
        return np.array(values, np.float64).reshape(len(self.items), len(other.items))

    def to_rle(self, *, compressed: bool = True) -> list[dict[str, Any]]:
        """Return COCO's run lengths, one mapping per mask."""
        return [item.to_rle(compressed=compressed) for item in self.items]

    def to_labels(self, ids: Sequence[int]) -> np.ndarray:
        """Make one image ``(height, width)`` of object ids: uint8, or int32 beyond 255.

        Where masks overlap, the lowest id lies on top.

        Raises:
            InvalidValue: an id below 1 (0 is the background).
        """
        if ids and min(ids) < 1:
            raise InvalidValue(
                f"object id {min(ids)} cannot stand in a label image, whose 0 is the background: "
                "give ids from 1 up"
            )
        labels = np.zeros(
            (self.size[1], self.size[0]), np.uint8 if max(ids, default=0) < 256 else np.int32
        )
        # The highest id first: the lowest is painted last and lies on top.
        for value, item in sorted(zip(ids, self.items, strict=True), key=lambda pair: -pair[0]):
            x0, y0, x1, y1 = item.box
            labels[y0:y1, x0:x1][item.crop()] = value
        return labels

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[CompactMask]:
        return iter(self.items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Masks(size=self.size, items=self.items[index])
        if isinstance(index, int | np.integer):
            return self.items[index]
        raise InvalidType(f"masks are taken by number or slice, got {type(index).__name__}")


def _size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
