"""Read masks of objects in video frames: one file with ids, or a file per object.

The rules for one file:

* palette and grey images are read as ids (1 to 16 bits), 0 the background;
* 0 and 255 alone, in the first frame that has an object, are DAVIS-2016's way: 255 is object 1;
* else 255 is void, as in DAVIS-2017, and counts as background;
* colour images: the colours of the DAVIS palette are their ids, greys are their value; others are
  refused, as nothing says which object they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from pocketeye.data.files import UnreadableImage, header_size, read_pixels
from pocketeye.reading import open_regular
from pocketeye.results.colors import davis_palette

VOID = 255


class MaskReader(Protocol):
    """Give the masks of one clip by number of the frame; picklable.

    Attributes:
        problems: masks that turned out to be unreadable, by frame.
    """

    problems: dict[int, str]

    @property
    def annotated(self) -> tuple[int, ...]:
        """Return frames that have a mask, ascending; without those that turned out to be unreadable."""

    def labels(self, frame: int) -> np.ndarray | None:
        """Return ids ``(height, width)``; None where not annotated or unreadable."""

    def objects(self, frame: int) -> dict[int, np.ndarray] | None:
        """Return bool ``(height, width)`` of each object that is there; these may overlap."""


@dataclass(eq=False)
class LabelFiles:
    """Read a file per annotated frame, whose pixels are ids.

    Args:
        paths: by frame.
        size: (width, height) that each must have.
    """

    paths: Mapping[int, Path]
    size: tuple[int, int]
    problems: dict[int, str] = field(default_factory=dict)
    _binary: bool | None = None

    @property
    def annotated(self) -> tuple[int, ...]:
        return tuple(sorted(self.paths.keys() - self.problems.keys()))

    def labels(self, frame: int) -> np.ndarray | None:
        ids = self._read(frame)
        if ids is None:
            return None
        if self._is_binary():
            return (ids > 0).astype(np.uint8)
        # Void is no object; as background it is not tracked.
        return np.where(ids == VOID, 0, ids).astype(ids.dtype)

    def objects(self, frame: int) -> dict[int, np.ndarray] | None:
        labels = self.labels(frame)
        return None if labels is None else split_labels(labels)

    def _is_binary(self) -> bool:
        """Decide for the whole clip: a later frame with nothing but void is not an object."""
        if self._binary is None:
            masks = (self._read(frame) for frame in self.annotated)
            # The first mask with an object decides; frames before it say nothing.
            first = next((mask for mask in masks if mask is not None and mask.any()), None)
            self._binary = first is not None and set(np.unique(first)) <= {0, VOID}
        return self._binary

    def _read(self, frame: int) -> np.ndarray | None:
        path = self.paths.get(frame)
        if path is None or frame in self.problems:
            return None
        try:
            return read_ids(path, self.size)
        except UnreadableImage as error:
            self.problems[frame] = f"{path.name}: {error}"
            return None


@dataclass(eq=False)
class ObjectFiles:
    """Read SA-V's way: a folder per object, a binary file per annotated frame; masks may overlap.

    Args:
        paths: by frame, then by id.
        size: (width, height) that each must have.
    """

    paths: Mapping[int, Mapping[int, Path]]
    size: tuple[int, int]
    problems: dict[int, str] = field(default_factory=dict)

    @property
    def annotated(self) -> tuple[int, ...]:
        return tuple(sorted(self.paths.keys() - self.problems.keys()))

    def labels(self, frame: int) -> np.ndarray | None:
        objects = self.objects(frame)
        return None if objects is None else merge_objects(objects, self.size)

    def objects(self, frame: int) -> dict[int, np.ndarray] | None:
        files = self.paths.get(frame)
        if files is None or frame in self.problems:
            return None
        try:
            masks = {i: read_ids(path, self.size) > 0 for i, path in sorted(files.items())}
        except UnreadableImage as error:
            self.problems[frame] = f"frame {frame}: {error}"
            return None
        return {object_id: mask for object_id, mask in masks.items() if mask.any()}


def split_labels(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Make a bool mask for each id above 0."""
    return {int(i): labels == i for i in np.unique(labels) if i}


def merge_objects(objects: Mapping[int, np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Merge masks to ids ``(height, width)``; where objects overlap, the lowest id counts."""
    most = max(objects, default=0)
    labels = np.zeros((size[1], size[0]), np.uint8 if most < 256 else np.int32)
    # From the highest id down, so that the lowest is written last.
    for object_id in sorted(objects, reverse=True):
        labels[objects[object_id]] = object_id
    return labels


def read_ids(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read ids as they stand in a file: uint8, or int32 where there are more than 8 bits.

    Raises:
        UnreadableImage: damaged, of another size than (width, height), or colours that are no ids.
    """
    mode, pixels = read_pixels(path)
    height, width = pixels.shape[:2]
    if (width, height) != size:
        raise UnreadableImage(f"{width}x{height}, but its frame is {size[0]}x{size[1]}")
    # One bit: 0 and 1 are ids already.
    if mode == "1":
        return pixels.astype(np.uint8)
    if mode in ("LA", "PA"):
        pixels = pixels[..., 0]
    if pixels.ndim == 3:
        return _ids_of_colours(pixels[..., :3])
    if pixels.dtype.kind == "f":
        raise UnreadableImage("fractions are no ids")
    return pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)


def _ids_of_colours(pixels: np.ndarray) -> np.ndarray:
    weights = np.array([65536, 256, 1], np.int64)
    codes, where = np.unique(pixels.astype(np.int64) @ weights, return_inverse=True)
    greys = codes % 256 * 65793  # 0x010101: red, green and blue alike
    palette = np.array(davis_palette(), np.int64).reshape(-1, 3) @ weights
    # White alone is 255, DAVIS-2016's object; the palette has no white.
    if set(codes) <= {0, 0xFFFFFF}:
        ids = codes % 256
    elif np.isin(codes, palette).all():
        # Searching needs a sorted palette; the order leads back to the ids.
        order = np.argsort(palette)
        ids = order[np.searchsorted(palette, codes, sorter=order)]
    elif (codes == greys).all():
        ids = codes % 256
    else:
        odd = codes[~np.isin(codes, palette)]
        raise UnreadableImage(
            f"its colours are no ids ({len(codes)} colours, such as #{int(odd[0]):06x}): expected a "
            "palette or grey image, or the colours of the DAVIS palette"
        )
    return ids[where].reshape(pixels.shape[:2]).astype(np.uint8)


def whole_end(path: Path) -> bool:
    """Tell whether a JPEG or PNG file ends as it should; one that was cut short does not."""
    with open_regular(path) as file:
        head = file.read(8)
        file.seek(0, 2)
        # The end mark lies in the last bytes; some programs write a few behind it.
        file.seek(max(file.tell() - 64, 0))
        tail = file.read()
    if head.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" in tail
    return b"IEND" in tail if head.startswith(b"\x89PNG") else True


def header_problem(path: Path, size: tuple[int, int] | None) -> str | None:
    """Say what header and end of an image show to be wrong (Pillow may warn, see ``no_comments``)."""
    try:
        width, height = header_size(path)
        if not whole_end(path):
            return "cut short"
    except UnreadableImage as error:
        return str(error)
    if size is not None and (width, height) != size:
        return f"{width}x{height} instead of {size[0]}x{size[1]}"
    return None


def scan(reader: MaskReader) -> dict[int, int]:
    """Find the first frame of each object, by id in ascending order; all masks are read."""
    first: dict[int, int] = {}
    for frame in reader.annotated:
        labels = reader.objects(frame)
        for object_id in labels or ():
            first.setdefault(object_id, frame)
    return dict(sorted(first.items()))


def count_text(names: Sequence[str], most: int = 3) -> str:
    """Return ``3 (a, b, c)``; more are only counted."""
    shown = ", ".join(names[:most]) + (", …" if len(names) > most else "")
    return f"{len(names)} ({shown})"
