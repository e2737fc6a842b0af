"""Read folders of images and of label numbers, one image to one map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pocketeye.data.files import Problems, UnreadableImage, no_comments, read_pixels
from pocketeye.data.files.annotations.mask_pairs import by_stem, pair_up
from pocketeye.data.files.annotations.shapes import Given

SMALLEST_PART = 0.002
"""Parts of a smaller share of the image are no objects to click on."""


class LabelReader:
    """Read ``root/images/NAME.jpg`` and ``root/masks/NAME.png``: label numbers, 0 for the background.

    Either each number is an object, or all are parts of one: then the first object is the union of the
    numbers above 0, the whole, and the others are the connected parts of each number, from a
    five-hundredth of the image on.

    Left out and named: an image without mask, a mask without image, sizes that disagree, masks that
    are no numbers (RGB).
    """

    def __init__(self, root: Path, objects: bool = False) -> None:
        self.root, self.objects = root, objects
        problems = Problems()
        with no_comments():
            self.pairs = pair_up(root, by_stem(root, "images"), by_stem(root, "masks"), problems)
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return self.pairs[index][0]

    def image(self, index: int) -> Path:
        return self.root / self.pairs[index][0]

    def shapes(
        self, index: int, size: tuple[int, int]
    ) -> tuple[tuple[Callable[[], np.ndarray], ...], tuple[bool, ...]]:
        path = self.root / self.pairs[index][1]
        try:
            labels = read_pixels(path)[1]
        except UnreadableImage as error:
            raise UnreadableImage(f"its mask cannot be read: {error}") from error
        if labels.shape != size[::-1]:
            raise UnreadableImage(f"a mask of {labels.shape[1]}x{labels.shape[0]} for it")
        if self.objects:
            each = [Given(labels == number) for number in np.unique(labels[labels > 0]).tolist()]
            return tuple(each), (True,) * len(each)
        whole = labels > 0
        if not whole.any():
            return (), ()
        parts = list(_parts(labels))
        if len(parts) == 1 and parts[0].sum() == whole.sum():
            parts = []
        masks = [whole, *parts]
        return tuple(Given(mask) for mask in masks), (True, *[False] * len(parts))


def _parts(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Connected parts of each label, the large enough ones."""
    from scipy import ndimage

    least = max(1, round(SMALLEST_PART * labels.size))
    for label in np.unique(labels[labels > 0]).tolist():
        numbered, count = ndimage.label(labels == label)
        areas = np.bincount(numbered.ravel(), minlength=count + 1)
        for number in range(1, count + 1):
            if areas[number] >= least:
                yield numbered == number
