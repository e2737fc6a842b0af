"""Say what the values of a mask's pixels mean: classes, what is ignored, colours.

``classes.yaml`` beside a set of masks::

    names: [sky, road, car]          # the classes, in the order of the labels
    ignore: [0, 255]                 # pixel values (or colours) that count for nothing
    ids: {7: road, 23: sky, 26: car} # pixel value: name; without it value k is names[k]
    colors: {sky: [70, 130, 180]}    # for masks in RGB: name: red, green, blue
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.data.files import read_yaml_as_written
from pocketeye.data.files.annotations.scalars import read_id
from pocketeye.errors import InvalidValue, MissingFile, unknown

FILE = "classes.yaml"
IGNORE = 255
"""Label of pixels that count for nothing (the ``ignore_index`` of losses and metrics)."""
MOST_CLASSES = 255  # labels are uint8, and 255 is IGNORE
_UNKNOWN, _MOST_VALUE = -1, 65535
_KEYS = ("names", "ignore", "ids", "colors")
Colour = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class ClassMap:
    """Describe the classes of a semantic set.

    Attributes:
        names: in the order of the labels.
        values: label of a pixel value (0 to 65535), ``IGNORE`` for what counts for nothing.
        colours: the same of a colour.
        by_number: nobody said what the values mean: value k is taken for class k, and 255 for nothing.
    """

    names: tuple[str, ...]
    values: Mapping[int, int]
    colours: Mapping[Colour, int]
    by_number: bool = False

    def labels(self, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """Return labels, uint8 ``(H, W)``, and how often each unknown value came, which are ignored.

        Args:
            pixels: integers ``(H, W)``, or RGB ``(H, W, 3)`` (a fourth channel is passed over).
        """
        if pixels.ndim == 3:
            red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
            codes = (red << 16) | (green << 8) | blue
            labels = _looked_up(codes, {_code(c): label for c, label in self.colours.items()})
        else:
            # Beyond the table on either side is unknown.
            codes = np.clip(pixels.astype(np.int64), -1, _MOST_VALUE + 1)
            table = np.full(_MOST_VALUE + 3, _UNKNOWN, np.int16)  # -1 reads the last one
            for value, label in self.values.items():
                table[value] = label
            labels = table[codes]
        unknown_pixels = labels == _UNKNOWN
        strange = {}
        if unknown_pixels.any():
            # Counted by value: the sentence says which are strange.
            found, counts = np.unique(codes[unknown_pixels], return_counts=True)
            said = (_said(code, pixels.ndim == 3) for code in found.tolist())
            strange = dict(zip(said, counts.tolist(), strict=True))
            labels[unknown_pixels] = IGNORE
        return labels.astype(np.uint8), strange


def _looked_up(codes: np.ndarray, known: dict[int, int]) -> np.ndarray:
    """Return int16 labels of many codes, ``_UNKNOWN`` for those that are not ``known``."""
    if not known:
        return np.full(codes.shape, _UNKNOWN, np.int16)
    # Colours are 24 bits: a table of all would be 32 MB, a search among the few known is enough.
    keys = np.array(sorted(known), np.int64)
    values = np.array([known[key] for key in keys.tolist()], np.int16)
    places = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    return np.where(keys[places] == codes, values[places], np.int16(_UNKNOWN))


def _code(colour: Colour) -> int:
    return (colour[0] << 16) | (colour[1] << 8) | colour[2]


def _said(code: int, colour: bool) -> str:
    return f"colour {code >> 16},{code >> 8 & 255},{code & 255}" if colour else f"value {code}"


def numbered(names: Iterable[str], ignore: Iterable[int] = (IGNORE,), first: int = 0) -> ClassMap:
    """Make the map in which value ``first + k`` is the class ``names[k]``."""
    names = tuple(names)
    values = {first + label: label for label in range(len(names))}
    # A value that is a class is one, even if it is 255.
    values.update({value: IGNORE for value in ignore if value not in values})
    return ClassMap(names=names, values=values, colours={})


def binary(class_map: ClassMap) -> ClassMap:
    """Return the map of two classes whose masks hold 0 and 255 only: 255 is the second class."""
    assert len(class_map.names) == 2
    return ClassMap(names=class_map.names, values={0: 0, 255: 1}, colours={})


def read_class_map(file: Path) -> ClassMap:
    """Read a ``classes.yaml`` (see the top).

    Raises:
        MissingFile: no such file.
        InvalidValue: something in it is not as it should be.
    """
    if not file.is_file():
        raise MissingFile(f"no classes at {file} (a yaml with names, or one of {sorted(KNOWN)})")
    content = read_yaml_as_written(file)
    names = content.get("names") if isinstance(content, dict) else None
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_CLASSES:
        raise InvalidValue(f"{file}: names must be a list of 1 to {MOST_CLASSES} classes")
    for key in content:
        if key not in _KEYS:
            raise unknown(f"key in {file.name}", str(key), _KEYS)
    if not all(isinstance(name, str) for name in names):
        raise InvalidValue(f"{file}: names must be single words or texts, a class each")
    places = {name: label for label, name in enumerate(names)}
    if len(places) < len(names):
        raise InvalidValue(f"{file}: two classes have the same name")
    return _filled(file, places, content)


def _filled(file: Path, places: dict[str, int], content: dict[str, Any]) -> ClassMap:
    ids, colors = content.get("ids") or None, content.get("colors") or {}
    if not isinstance(colors, dict) or not isinstance(ids, dict | None):
        raise InvalidValue(f"{file}: ids and colors are mappings (7: road, sky: [70, 130, 180])")
    values: dict[int, int] = {}
    if ids is None:
        values = {label: label for label in places.values()}
    for value, name in (ids or {}).items():
        values[_value(file, value)] = _place(file, places, name)
    colours = {_colour(file, c): _place(file, places, name) for name, c in colors.items()}
    ignore = content.get("ignore") or []
    for entry in ignore if isinstance(ignore, list) else [ignore]:
        if isinstance(entry, list):
            colours[_colour(file, entry)] = IGNORE
        # Listed twice, it is unclear which is meant.
        elif _value(file, entry) in values and ids is not None:
            raise InvalidValue(f"{file}: the value {entry} has a class and is ignored")
        else:
            values[_value(file, entry)] = IGNORE
    # Nobody said what 255 means: it is then ignored, as usual.
    by_number = ids is None and not colours and IGNORE not in values
    values.setdefault(IGNORE, IGNORE)
    return ClassMap(names=tuple(places), values=values, colours=colours, by_number=by_number)


def _value(file: Path, value: Any) -> int:
    number = read_id(value)
    if not isinstance(number, int) or not 0 <= number <= _MOST_VALUE:
        raise InvalidValue(f"{file}: pixel values are whole numbers from 0 to 65535, got {value}")
    return number


def _place(file: Path, places: dict[str, int], name: Any) -> int:
    if str(name) not in places:
        raise unknown(f"class in {file.name}", str(name), places)
    return places[str(name)]


def _colour(file: Path, colour: Any) -> Colour:
    numbers = [read_id(value) for value in colour] if isinstance(colour, list) else []
    sound = [number for number in numbers if isinstance(number, int) and 0 <= number <= 255]
    if len(numbers) != 3 or len(sound) != 3:
        raise InvalidValue(f"{file}: a colour is [red, green, blue] from 0 to 255, got {colour}")
    return sound[0], sound[1], sound[2]


# Cordts et al. 2016, cityscapesscripts/helpers/labels.py: the 19 that are judged and their ids
_CITYSCAPES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train",
    32: "motorcycle", 33: "bicycle",
}  # fmt: skip
# Badrinarayanan et al. 2017 (SegNet): CamVid's 32 classes joined to 11, 11 is void
_CAMVID = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip


def _cityscapes_ids() -> ClassMap:
    labels = {value: label for label, value in enumerate(_CITYSCAPES)}
    ignored = {value: IGNORE for value in (*range(34), IGNORE) if value not in labels}
    return ClassMap(names=tuple(_CITYSCAPES.values()), values={**labels, **ignored}, colours={})


KNOWN: Mapping[str, ClassMap] = {
    "camvid11": numbered(_CAMVID, (11, IGNORE)),
    "cityscapes": _cityscapes_ids(),
    "cityscapes-train-ids": numbered(_CITYSCAPES.values()),
}
"""Maps that need no file, by name."""
