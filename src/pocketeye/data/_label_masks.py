"""Folders of pictures and of label numbers, one picture to one map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from pocketeye.data._decode import SUFFIXES, UnreadableImage, header_size, no_comments
from pocketeye.data._listing import Problems
from pocketeye.data._shapes import Given

SMALLEST_PART = 0.002
"""Parts of a smaller share of the picture are no objects to click on."""


class LabelReader:
    """``root/images/NAME.jpg`` and ``root/masks/NAME.png``: label numbers, 0 for the background.

    The first object is the union of the labels above 0, the whole; the others are the connected parts
    of each label, from a five-hundredth of the picture on.

    Left out and named: a picture without mask, a mask without picture, sizes that disagree, masks that
    are no numbers (RGB).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        problems = Problems()
        pictures, masks = _by_stem(root / "images"), _by_stem(root / "masks")
        self.pairs: list[tuple[str, str]] = []
        with no_comments():
            for stem in sorted(pictures.keys() | masks.keys()):
                if stem not in masks:
                    problems.add(f"images/{pictures[stem]}", "no mask of that name")
                elif stem not in pictures:
                    problems.add(f"masks/{masks[stem]}", "missing picture")
                elif (wrong := self._flaw(pictures[stem], masks[stem])) is not None:
                    problems.add(f"images/{pictures[stem]}", wrong)
                else:
                    self.pairs.append((pictures[stem], masks[stem]))
        self.problems = tuple(problems)

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        return f"images/{self.pairs[index][0]}"

    def picture(self, index: int) -> Path:
        return self.root / "images" / self.pairs[index][0]

    def shapes(
        self, index: int, size: tuple[int, int]
    ) -> tuple[tuple[Callable[[], np.ndarray], ...], tuple[bool, ...]]:
        path = self.root / "masks" / self.pairs[index][1]
        try:
            with Image.open(path) as image:
                labels = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise UnreadableImage(f"its mask cannot be read: {error}") from error
        if labels.shape != size[::-1]:
            raise UnreadableImage(f"a mask of {labels.shape[1]}x{labels.shape[0]} for it")
        whole = labels > 0
        if not whole.any():
            return (), ()
        parts = list(_parts(labels))
        if len(parts) == 1 and parts[0].sum() == whole.sum():
            parts = []
        masks = [whole, *parts]
        return tuple(Given(mask) for mask in masks), (True, *[False] * len(parts))

    def _flaw(self, picture: str, mask: str) -> str | None:
        try:
            size = header_size(self.root / "images" / picture)
            with Image.open(self.root / "masks" / mask) as image:
                mode, mask_size = image.mode, image.size
        except UnreadableImage as error:
            return str(error)
        except (OSError, SyntaxError, ValueError):
            return "its mask is not a picture"
        if mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            return f"its mask has colours ({mode}), not label numbers"
        if size != mask_size and size != mask_size[::-1]:
            return f"{size[0]}x{size[1]} pixels, but its mask has {mask_size[0]}x{mask_size[1]}"
        return None


def _by_stem(folder: Path) -> dict[str, str]:
    return {p.stem: p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES}


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
