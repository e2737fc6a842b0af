"""Hold a class for every pixel of one image, and give the forms in which it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from pocketeye.errors import InvalidValue, unknown
from pocketeye.results.colors import color_of
from pocketeye.results.legend import legend
from pocketeye.results.masks import CompactMask, Masks
from pocketeye.results.result import Result, save_image
from pocketeye.results.show import html_image
from pocketeye.text import Shown, html_table

FILL = 0.55
"""Opacity of the colours: there is no background to tell them from."""
MOST_LABELS = 255  # a palette has 256 entries, and 255 means "no class", as in ADE20K and VOC
Form = Literal["overlay", "labels"]


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMap(Shown):
    """Hold what a segmenter says of one image.

    Attributes:
        labels: integers ``(height, width)``, numbers of the classes from 0; others have no class.
        classes: names, in the order of the numbers.
        image: uint8 RGB ``(height, width, 3)``, or None where it was not kept.
    """

    labels: np.ndarray
    classes: Sequence[str]
    image: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.labels.ndim != 2 or not np.issubdtype(self.labels.dtype, np.integer):
            raise InvalidValue(
                f"labels must be integers (height, width), got {self.labels.dtype} of shape "
                f"{self.labels.shape}"
            )
        object.__setattr__(self, "classes", tuple(self.classes))

    @property
    def size(self) -> tuple[int, int]:
        """Size of the image, (width, height)."""
        return self.labels.shape[1], self.labels.shape[0]

    @property
    def present(self) -> tuple[int, ...]:
        """Numbers of the classes that occur, in order."""
        counts = self._counts()
        return tuple(np.flatnonzero(counts).tolist())

    def shares(self) -> dict[str, float]:
        """Return the share of the pixels by class, 0 to 1, of those that occur, largest first."""
        counts = self._counts()
        order = np.argsort(-counts, kind="stable")
        return {
            self.classes[i]: float(counts[i] / self.labels.size)
            for i in order.tolist()
            if counts[i]
        }

    def rows(self) -> list[dict[str, Any]]:
        """A row per class that occurs: its name and its share of the pixels, 0 to 1."""
        return [{"class": name, "share": share} for name, share in self.shares().items()]

    def _repr_html_(self) -> str:
        return html_image(self.plot() if self.image is not None else None) + html_table(self.rows())

    def _counts(self) -> np.ndarray:
        # Numbers beyond the classes (255 for "ignore") are of no class.
        known = (self.labels >= 0) & (self.labels < len(self.classes))
        return np.bincount(self.labels[known], minlength=len(self.classes))

    def with_image(self, image: np.ndarray | Image.Image) -> LabelMap:
        """Return the same labels over ``image`` (uint8 RGB)."""
        return replace(self, image=np.asarray(image))

    def resized(self, size: tuple[int, int]) -> LabelMap:
        """Resize to an image of (width, height); labels are those of the nearest pixels."""
        # int32: Pillow resizes no int64.
        scaled = Image.fromarray(self.labels.astype(np.int32)).resize(
            size, Image.Resampling.NEAREST
        )
        image = self.image
        if image is not None:
            image = np.asarray(Image.fromarray(image).resize(size))
        return replace(self, labels=np.asarray(scaled), image=image)

    def result(self) -> Result:
        """Return the classes that occur as objects of a :class:`Result`, one mask each."""
        present = self.present
        items = tuple(CompactMask.from_dense(self.labels == label) for label in present)
        return Result(
            size=self.size,
            masks=Masks(size=self.size, items=items),
            object_ids=tuple(label + 1 for label in present),  # ids of objects begin at 1
            labels=tuple(self.classes[label] for label in present),
            class_ids=present,
            image=self.image,
        )

    def plot(self, *, fill: float = FILL, text: bool = True) -> Image.Image:
        """Draw the image in the colours of its classes, an RGB image.

        Args:
            fill: opacity of the colours, 0 to 1.
            text: say below the image which colour is which class.

        Raises:
            InvalidValue: there is no image.
        """
        drawn = self.result().plot(fill=fill, text=False)
        if not text:
            return drawn
        width, height = drawn.size
        key = legend([(self.classes[label], label) for label in self.present], width - 12)
        # A narrow image gets white beside it, where names are wider.
        paper = Image.new("RGB", (max(width, key.width + 12), height + key.height + 8), "#ffffff")
        paper.paste(drawn, (0, 0))
        paper.paste(key, (6, height + 6))
        return paper

    def label_image(self) -> Image.Image:
        """Make a palette image whose pixels are the numbers of the classes; 255 has none.

        Raises:
            InvalidValue: more than 255 classes.
        """
        if len(self.classes) > MOST_LABELS:
            raise InvalidValue(
                f"{len(self.classes)} classes do not fit into a palette PNG, which holds "
                f"{MOST_LABELS}: save COCO run lengths instead"
            )
        known = (self.labels >= 0) & (self.labels < len(self.classes))
        image = Image.fromarray(np.where(known, self.labels, MOST_LABELS).astype(np.uint8))
        colors = [color_of(label + 1) for label in range(len(self.classes))]
        palette = [*colors, *[(0, 0, 0)] * (256 - len(colors))]
        image.putpalette([value for color in palette for value in color])
        return image

    def save(self, path: str | Path, form: Form = "overlay") -> Path:
        """Write an image; its folder is made, a file of that name is replaced.

        Args:
            path: the suffix chooses the format; labels must be ``.png``.
            form: ``overlay``, or ``labels`` (palette image of the classes' numbers).

        Raises:
            InvalidValue: unknown form, a format that cannot hold it, or a folder that cannot be
                written.
        """
        target = Path(path)
        if form not in get_args(Form):
            raise unknown("form", form, get_args(Form))
        if form == "labels" and target.suffix.lower() != ".png":
            raise InvalidValue(f"{form} must be saved as .png to stay exact, got {target.name}")
        return save_image(self.plot() if form == "overlay" else self.label_image(), target)

    def to_coco(self, *, image_id: int | None = None, category_ids: Sequence[int] | None = None,
                first_id: int = 1) -> list[dict[str, Any]]:  # fmt: skip
        """Return COCO annotations, one for each class that occurs, with its run lengths.

        Args:
            image_id: 0 by default.
            category_ids: of all classes, in order; 1 to their number by default.
            first_id: id of the first annotation.
        """
        ids = category_ids or range(1, len(self.classes) + 1)
        return self.result().to_coco(
            image_id=image_id or 0,
            category_ids=[ids[label] for label in self.present],
            first_id=first_id,
        )
