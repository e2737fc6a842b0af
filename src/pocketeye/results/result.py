"""Hold what a network found in one image or frame, and give the forms in which it leaves."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from pocketeye.errors import InvalidValue, unknown
from pocketeye.outputs import cannot_write, write_whole
from pocketeye.results.colors import davis_palette
from pocketeye.results.draw import FILL, dilate, draw_boxes, draw_masks
from pocketeye.results.masks import Masks
from pocketeye.results.show import html_image, show_image
from pocketeye.text import Shown, html_table

Form = Literal["overlay", "labels", "cutout"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result(Shown):
    """Hold the objects of one image.

    Attributes:
        size: (width, height) of the image.
        masks: one per object, or None where only boxes were found.
        boxes: float32 ``(N, 4)`` x0, y0, x1, y1 in pixels, x1 and y1 outside; those of the masks
            where none are given.
        scores: float32 ``(N,)``, 0 to 1, or None.
        object_ids: one per object; 1 to N where none are given. They choose the colours.
        labels: names of the classes, one per object, or None; an empty one is not written.
        class_ids: numbers of the classes from 0, one per object, or None. Where they are given, they
            choose the colours: class 0 has that of object 1.
        image: uint8 RGB ``(height, width, 3)``, or None where it was not kept.
        frame: number of the frame, from 0; None for a still image.
    """

    size: tuple[int, int]
    masks: Masks | None = None
    boxes: np.ndarray | None = None
    scores: np.ndarray | None = None
    object_ids: Sequence[int] | None = None
    labels: Sequence[str] | None = None
    class_ids: Sequence[int] | None = None
    image: np.ndarray | None = None
    frame: int | None = None

    def __post_init__(self) -> None:
        boxes = self.boxes
        if boxes is None:
            boxes = np.zeros((0, 4)) if self.masks is None else self.masks.boxes
        boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
        ids = tuple(range(1, len(boxes) + 1)) if self.object_ids is None else self.object_ids
        values = {"boxes": boxes, "object_ids": tuple(int(i) for i in ids)}
        if self.scores is not None:
            values["scores"] = np.asarray(self.scores, np.float32).reshape(-1)
        if self.labels is not None:
            values["labels"] = tuple(self.labels)
        if self.class_ids is not None:
            values["class_ids"] = tuple(int(i) for i in self.class_ids)
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen from here on
        self._check()

    def _check(self) -> None:
        for name in ("masks", "scores", "object_ids", "labels", "class_ids"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise InvalidValue(f"{len(value)} {name} for {len(self)} objects")
        # Two objects of one id could not be told apart in a label image or in a video.
        if len(set(self.ids)) != len(self):
            raise InvalidValue(f"object ids must differ, got {list(self.ids)}")
        if self.masks is not None and self.masks.size != self.size:
            raise InvalidValue(f"masks of size {self.masks.size} in an image of size {self.size}")
        if self.image is not None:
            _check_image(self.image, self.size)

    def __len__(self) -> int:
        return 0 if self.boxes is None else len(self.boxes)

    @property
    def ids(self) -> tuple[int, ...]:
        """Object ids, never None."""
        return tuple(self.object_ids or ())

    def with_image(self, image: np.ndarray | Image.Image) -> Result:
        """Return the same objects over ``image`` (uint8 RGB)."""
        return replace(self, image=np.asarray(image))

    def above(self, score: float) -> Result:
        """Return the objects of at least this score; all of them where they have none."""
        if self.scores is None:
            return self
        return self.only(np.flatnonzero(self.scores >= score).tolist())

    def only(self, indices: Sequence[int]) -> Result:
        """Return some of the objects, by number from 0."""
        assert self.boxes is not None  # set in __post_init__
        columns: dict[str, Any] = {
            name: tuple(getattr(self, name)[i] for i in indices)
            for name in ("object_ids", "labels", "class_ids", "scores")
            if getattr(self, name) is not None
        }
        masks = self.masks
        if masks is not None:
            masks = Masks(size=self.size, items=tuple(masks.items[i] for i in indices))
        return replace(self, masks=masks, boxes=self.boxes[list(indices)], **columns)

    def resized(self, size: tuple[int, int]) -> Result:
        """Return the same objects in an image of (width, height)."""
        assert self.boxes is not None  # set in __post_init__
        image, masks = self.image, self.masks
        if image is not None:
            image = np.asarray(Image.fromarray(image).resize(size))
        if masks is not None:
            masks = Masks(size=size, items=tuple(mask.resized(size) for mask in masks))
        boxes = self.boxes * (np.array(size * 2) / np.array(self.size * 2))
        return replace(self, size=size, image=image, masks=masks, boxes=boxes)

    def plot(self, *, fill: float = FILL, text: bool = True) -> Image.Image:
        """Draw the objects over their image, an RGB image.

        Args:
            fill: opacity of the colours, 0 to 1.
            text: write class and score, or the object's id.

        Raises:
            InvalidValue: there is no image.
        """
        drawn = Image.fromarray(self.pixels("drawn"))
        texts = [self._text(i) if text else "" for i in range(len(self))]
        colors = None if self.class_ids is None else [i + 1 for i in self.class_ids]
        if self.masks is not None:
            draw_masks(drawn, self.masks, self.ids, texts, fill, colors)
        elif self.boxes is not None:
            draw_boxes(drawn, self.boxes, self.ids, texts, colors)
        return drawn

    def overlay(self, *, fill: float = FILL, text: bool = True) -> np.ndarray:
        """Return the same as :meth:`plot`, as uint8 RGB ``(height, width, 3)``."""
        return np.asarray(self.plot(fill=fill, text=text))

    def show(self, *, fill: float = FILL, text: bool = True) -> None:
        """Open :meth:`plot` in the default image viewer, and come back at once.

        Raises:
            InvalidValue: there is no image.
            UserError: no display or no viewer here: :meth:`save` it.
        """
        title = None if self.frame is None else f"frame {self.frame}"
        show_image(self.plot(fill=fill, text=text), title)

    def label_image(self) -> Image.Image:
        """Make a palette image whose pixels are object ids, 0 the background (the form of DAVIS).

        Where masks overlap, the lowest id lies on top.

        Raises:
            InvalidValue: no masks, or an id outside 1 to 255.
        """
        masks = self._masks("a label image")
        if max(self.ids, default=0) > 255:
            raise InvalidValue(
                f"object id {max(self.ids)} does not fit into a palette PNG, which holds 1 to 255: "
                "save COCO run lengths instead"
            )
        labels = Image.fromarray(masks.to_labels(self.ids))
        labels.putpalette(davis_palette())
        return labels

    def cutout(self) -> np.ndarray:
        """Cut the objects out: uint8 RGBA ``(height, width, 4)``, opaque where any mask is filled.

        Colours are kept a few pixels beyond the masks, so that no dark seam appears when the
        image is scaled or compressed, and are black further out.
        """
        filled = self._masks("a cut-out").union()
        image = self.pixels("cut out")
        cut = np.zeros((*filled.shape, 4), np.uint8)
        # Black further out, because it deflates to nothing.
        np.multiply(image, dilate(filled, 4)[..., None], out=cut[..., :3])
        cut[..., 3] = filled * np.uint8(255)
        return cut

    def save(self, path: str | Path, form: Form = "overlay") -> Path:
        """Write an image; its folder is made, a file of that name is replaced.

        Args:
            path: the suffix chooses the format; labels and cut-outs must be ``.png``.
            form: ``overlay``, ``labels`` (palette image of object ids) or ``cutout``
                (transparent round the objects).

        Raises:
            InvalidValue: unknown form, a format that cannot hold it, or a folder that cannot be
                written.
        """
        target = Path(path)
        if form not in get_args(Form):
            raise unknown("form", form, get_args(Form))
        if form != "overlay" and target.suffix.lower() != ".png":
            raise InvalidValue(f"{form} must be saved as .png to stay exact, got {target.name}")
        image = {
            "overlay": self.plot,
            "labels": self.label_image,
            "cutout": lambda: Image.fromarray(self.cutout()),
        }[form]()
        return save_image(image, target)

    def to_rle(self, *, compressed: bool = True) -> list[dict[str, Any]]:
        """Return COCO's run lengths, one mapping per object."""
        return self._masks("run lengths").to_rle(compressed=compressed)

    def to_coco(self, *, image_id: int | None = None, category_ids: Sequence[int] | None = None,
                first_id: int = 1) -> list[dict[str, Any]]:  # fmt: skip
        """Return COCO annotations of the objects that are there; empty masks are left out.

        Args:
            image_id: the frame's number by default, or 0.
            category_ids: one per object; 1 by default.
            first_id: id of the first annotation.
        """
        image = image_id if image_id is not None else self.frame or 0
        annotations: list[dict[str, Any]] = []
        for i, row in enumerate(self.table()):
            # An object that is out of the frame is no annotation.
            if self.masks is not None and not row["area"]:
                continue
            annotation = {
                "id": first_id + len(annotations),
                "image_id": image,
                "category_id": category_ids[i] if category_ids is not None else 1,
                "track_id": row["id"],
                "bbox": [row["x"], row["y"], row["width"], row["height"]],
                "area": row["area"],
                "iscrowd": 0,
            }
            if self.masks is not None:
                annotation["segmentation"] = self.masks[i].to_rle()
            for name in ("score", "confidence"):  # the second of tracked objects only
                if row.get(name) is not None:
                    annotation[name] = row[name]
            annotations.append(annotation)
        return annotations

    def rows(self) -> list[dict[str, Any]]:
        """The same as :meth:`table`."""
        return self.table()

    def _repr_html_(self) -> str:
        return html_image(self.plot() if self.image is not None else None) + html_table(self.rows())

    def table(self) -> list[dict[str, Any]]:
        """Return a row per object: frame, id, label, score, x, y, width, height and area in pixels.

        ``area`` is that of the mask, or of the box where there is none.
        """
        assert self.boxes is not None  # set in __post_init__
        rows: list[dict[str, Any]] = []
        for i, (x0, y0, x1, y1) in enumerate(self.boxes.astype(float).tolist()):
            area = (x1 - x0) * (y1 - y0) if self.masks is None else self.masks[i].area
            rows.append(
                {
                    "frame": self.frame,
                    "id": self.ids[i],
                    "label": None if self.labels is None else self.labels[i],
                    # As a double, a float32 would show the digits of its rounding.
                    "score": None if self.scores is None else round(float(self.scores[i]), 6),
                    "x": x0,
                    "y": y0,
                    "width": x1 - x0,
                    "height": y1 - y0,
                    "area": area,
                }
            )
        return rows

    def _text(self, index: int) -> str:
        if self.labels is None:
            return str(self.ids[index])
        name = self.labels[index]
        if name and self.frame is not None:  # in a video an object is known by its number
            return f"{self.ids[index]}: {name}"
        return name if self.scores is None or not name else f"{name} {self.scores[index]:.2f}"

    def _masks(self, what: str) -> Masks:
        if self.masks is None:
            raise InvalidValue(f"{what} needs masks, and this result has only boxes")
        return self.masks

    def pixels(self, what: str = "saved") -> np.ndarray:
        """Return the image, uint8 RGB ``(height, width, 3)``.

        Raises:
            InvalidValue: it was not kept, so that it cannot be ``what``.
        """
        if self.image is None:
            raise InvalidValue(
                f"this result holds no image to be {what}: give it one with with_image(...)"
            )
        return self.image


def save_image(image: Image.Image, path: Path) -> Path:
    """Write an image whole or not at all, its folder made.

    Raises:
        InvalidValue: unknown suffix, or a place that cannot be written.
    """
    form = Image.registered_extensions().get(path.suffix.lower())
    if form not in Image.SAVE:
        known = "png, jpg, webp, bmp, tif"
        raise InvalidValue(f"cannot save {path.name}: its suffix is of no image ({known})")
    data = io.BytesIO()
    try:
        # Level 1 deflates a full HD image four times as fast as 6, to a file not much larger; at 95
        # nothing is seen of the blocks of a JPEG.
        image.save(data, form, compress_level=1, quality=95)
    except (ValueError, OSError) as error:  # such as transparency in a JPEG
        raise InvalidValue(f"cannot save {path.name}: {error}") from error
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Thousands of frames would wait for the disk one by one.
        write_whole(path, data.getvalue(), sync=False)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def _check_image(image: np.ndarray, size: tuple[int, int]) -> None:
    if image.dtype != np.uint8 or image.shape != (size[1], size[0], 3):
        raise InvalidValue(
            f"the image must be uint8 of shape {(size[1], size[0], 3)}, "
            f"got {image.dtype} of shape {image.shape}"
        )
