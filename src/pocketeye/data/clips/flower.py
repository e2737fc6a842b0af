"""Make clips and a photograph whose masks are known exactly, from two photographs in scikit-learn.

A flower flies past a pagoda, seen by a camera that moves too; nothing is drawn at random. In the easy
clip it stays in the open sky, in the hard one it passes behind the pagoda. The flower is cut out of its
photograph by its colour, and so is the pagoda. The photographs are vultilion's and danielbuechele's,
CC BY 2.0 (:data:`CREDIT`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np
from PIL import Image
from scipy import ndimage

CREDIT = "photographs by vultilion (flower) and danielbuechele (pagoda) on Flickr, CC BY 2.0"
_PLACE = "sklearn.datasets.images"
SIZE, FPS = (480, 270), 15.0
_FLOWER_SIDE = 150  # pixels of the cut-out at scale 1
_INSIDE_FLOWER, _INSIDE_PAGODA = (220, 300), (120, 205)  # row, column of the photographs


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownPhoto:
    """Hold a photograph, its object, and a click that means it.

    Attributes:
        image: uint8 RGB ``(height, width, 3)``.
        mask: bool ``(height, width)``.
        point: x and y of a pixel of the object.
    """

    image: np.ndarray
    mask: np.ndarray
    point: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Moment:
    """Say where things are: centre and side of what the camera sees, and the flower, in pixels
    of the photograph; ``angle`` in radians."""

    camera: tuple[float, float]
    seen: float
    flower: tuple[float, float]
    scale: float
    angle: float


def flower_photo() -> KnownPhoto:
    """Open the photograph of the flower, 640 by 427."""
    image = _photo("flower.jpg")
    red, blue = image[..., 0].astype(int), image[..., 2].astype(int)
    # Petals are redder than the leaves behind; opening drops what is small.
    petals = ndimage.binary_opening((red > 105) & (red - blue > 20), iterations=2)
    mask = _whole(petals, _INSIDE_FLOWER)
    row, column = _INSIDE_FLOWER
    return KnownPhoto(image=image, mask=mask, point=(column, row))


class FlowerClip:
    """Make the easy clip: the flower is in the open sky all the time.

    Its ``num_frames`` frames of ``SIZE`` are made when asked for: the same on every machine but for what
    JPEG decoders differ in.
    """

    size, fps, num_frames = SIZE, FPS, 40

    def __len__(self) -> int:
        return self.num_frames

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Render a frame, uint8 RGB ``(height, width, 3)``, and the flower's mask, bool."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        moment = self._moment(index / (len(self) - 1))
        ground = self._seen(self._ground, moment)
        flower, alpha = self._flower(moment)
        visible = alpha * (1 - self._hiding(moment))
        frame = ground * (1 - visible[..., None]) + flower * visible[..., None]
        # At least half of a pixel is flower.
        return np.rint(frame).astype(np.uint8), visible > 0.5

    def point(self, frame: int = 0) -> tuple[int, int]:
        """Return x and y of the middle of what is to be seen of the flower in a frame."""
        rows, columns = np.nonzero(self[frame][1])
        return round(columns.mean()), round(rows.mean())

    def _moment(self, t: float) -> _Moment:
        """Place all at ``t`` (0 to 1). The path stays right of the pagoda, coloured as the flower; the
        camera stays inside the photograph."""
        turn = 2 * math.pi * t
        return _Moment(
            camera=(380 + 30 * t, 170 - 20 * math.sin(turn)),
            seen=440 - 40 * math.sin(math.pi * t),
            flower=(575 - 190 * t, 95 + 75 * math.sin(math.pi * t)),
            scale=0.62 + 0.10 * math.sin(turn),
            angle=0.8 * turn,
        )

    def _hiding(self, moment: _Moment) -> np.ndarray | float:
        """Tell how much of each pixel is in front of the flower."""
        return 0.0

    def _seen(self, photo: Image.Image, moment: _Moment) -> np.ndarray:
        """Return what the camera sees of a photograph, float ``(height, width, ...)``."""
        step = moment.seen / SIZE[0]
        left = moment.camera[0] - moment.seen / 2
        top = moment.camera[1] - step * SIZE[1] / 2
        return _moved(photo, (step, 0.0, left, 0.0, step, top))

    def _flower(self, moment: _Moment) -> tuple[np.ndarray, np.ndarray]:
        """Return the flower in the frame, its colours carried on beyond its edge, and its alpha."""
        step = moment.seen / SIZE[0]
        middle_x = SIZE[0] / 2 + (moment.flower[0] - moment.camera[0]) / step
        middle_y = SIZE[1] / 2 + (moment.flower[1] - moment.camera[1]) / step
        cos = math.cos(moment.angle) * step / moment.scale
        sin = math.sin(moment.angle) * step / moment.scale
        half = self._cutout.width / 2
        moved = _moved(
            self._cutout,
            (cos, sin, half - cos * middle_x - sin * middle_y,
             -sin, cos, half + sin * middle_x - cos * middle_y),
        )  # fmt: skip
        # Colours were multiplied with alpha: divided again, the edge has no dark rim.
        return moved[..., :3] * 255 / np.maximum(moved[..., 3:], 1), moved[..., 3] / 255

    @cached_property
    def _ground(self) -> Image.Image:
        return Image.fromarray(_photo("china.jpg"))

    @cached_property
    def _cutout(self) -> Image.Image:
        """Return the flower with colours times alpha, so that its edge stays clean when it is turned."""
        photo = flower_photo()
        rows, columns = np.nonzero(photo.mask)
        # a few pixels of border, for the softened edge
        side = max(np.ptp(rows), np.ptp(columns)) + 12
        left = (columns.min() + columns.max() - side) // 2
        top = (rows.min() + rows.max() - side) // 2
        box = (left, top, left + side, top + side)
        # a pixel inside the edge, where nothing of the leaves behind shines through
        soft = _softened(ndimage.binary_erosion(photo.mask)).crop(box)
        alpha = np.asarray(soft)[..., None]
        colours = np.asarray(Image.fromarray(photo.image).crop(box)) * (alpha / 255)
        layers = np.concatenate([np.rint(colours).astype(np.uint8), alpha], -1)
        shape = (_FLOWER_SIDE, _FLOWER_SIDE)
        return Image.fromarray(layers, "RGBX").resize(shape, Image.Resampling.BOX)


class HiddenFlowerClip(FlowerClip):
    """Make the hard clip: the flower passes behind the pagoda once, its mask is empty meanwhile."""

    num_frames = 60

    @cached_property
    def back(self) -> int:
        """Return the first frame in which the flower, once hidden, is nearly all to be seen again."""
        areas = [int(mask.sum()) for _, mask in self]
        hidden = areas.index(0)
        # Nine tenths of the area: the flower also turns, so it need not be all of it.
        return next(k for k in range(hidden, len(self)) if areas[k] > 0.9 * areas[0])

    def _moment(self, t: float) -> _Moment:
        """Place things at ``t`` from 0 to 1; the flower is quickest behind the pagoda."""
        turn = 2 * math.pi * t
        return _Moment(
            camera=(216 + 200 * t - 26 * math.sin(turn), 140 + 22 * math.sin(turn)),
            seen=430 - 60 * math.sin(math.pi * t),
            flower=(60 + 480 * t - 45 * math.sin(turn), 140 - 30 * math.cos(turn)),
            scale=0.55 + 0.12 * math.sin(1.5 * turn),
            angle=1.2 * turn,
        )

    def _hiding(self, moment: _Moment) -> np.ndarray | float:
        return self._seen(self._pagoda, moment) / 255

    @cached_property
    def _pagoda(self) -> Image.Image:
        """Return the pagoda's upper storeys, as far down as the flower ever comes."""
        dark = np.asarray(self._ground).min(2) < 140  # against sky and haze
        storeys = np.zeros_like(dark)
        # Row and column of the storeys; the gardens below are dark too.
        storeys[25:258, 85:332] = dark[25:258, 85:332]
        return _softened(_whole(ndimage.binary_closing(storeys, iterations=4), _INSIDE_PAGODA))


def _photo(name: str) -> np.ndarray:
    with (files(_PLACE) / name).open("rb") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


def _whole(mask: np.ndarray, inside: tuple[int, int]) -> np.ndarray:
    """Return the connected part that holds the pixel ``inside``, without holes."""
    parts, _ = ndimage.label(mask)
    return ndimage.binary_fill_holes(parts == parts[inside])


def _softened(mask: np.ndarray) -> Image.Image:
    # less than a pixel: an edge as a camera has it
    alpha = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)
    return Image.fromarray(np.rint(255 * alpha).astype(np.uint8))


def _moved(image: Image.Image, place: tuple[float, ...]) -> np.ndarray:
    """Warp ``image`` into the frame, float32; ``place`` takes pixels of the frame to its own."""
    moved = image.transform(SIZE, Image.Transform.AFFINE, place, Image.Resampling.BILINEAR)
    return np.asarray(moved, np.float32)
