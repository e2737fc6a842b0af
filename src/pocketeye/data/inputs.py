"""Read images as users name them: files, folders, patterns, addresses, standard input."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from numpy.typing import ArrayLike
from PIL import Image, UnidentifiedImageError

from pocketeye.data.files import (
    DECODER_ERRORS,
    SUFFIXES,
    UnreadableImage,
    decode,
    no_comments,
    num_frames,
    walk,
)
from pocketeye.data.files.arrays import rgb_of
from pocketeye.data.files.fetch import fetch, is_address
from pocketeye.data.files.patterns import has_pattern, matches
from pocketeye.errors import InvalidType, InvalidValue, MissingFile
from pocketeye.reading import MOST_IMAGE_BYTES, can_exist, read_regular

logger = logging.getLogger(__name__)
STDIN = frozenset(("-", "/dev/stdin"))
MOST_STDIN_BYTES = 256 << 20  # more than any image: an endless pipe must not fill the memory


class ImageInput(Protocol):
    """Describe an image that was not read yet."""

    @property
    def name(self) -> str:
        """Return the name that the user would use: a path, an address, ``standard input``."""

    def read(self) -> bytes:
        """Return the encoded image; raises ``UnreadableImage``."""


@dataclass(frozen=True)
class FileInput:
    """Name a file that holds an image."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def read(self) -> bytes:
        try:
            return read_regular(self.path, MOST_IMAGE_BYTES)
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from error


@dataclass(frozen=True)
class AddressInput:
    """Name an http or https address, fetched each time it is read."""

    name: str

    def read(self) -> bytes:
        return fetch(self.name)


@dataclass(frozen=True)
class BytesInput:
    """Hold an image that came through a pipe."""

    name: str
    data: bytes

    def read(self) -> bytes:
        return self.data


@dataclass(frozen=True, eq=False)
class PixelInput:
    """Hold an image that is in memory already, upright and 8-bit RGB."""

    name: str
    image: Image.Image

    def read(self) -> bytes:
        stored = io.BytesIO()
        self.image.save(stored, "png", compress_level=1)  # exact; read again at once
        return stored.getvalue()


def still_of(image: ImageInput, in_chans: int = 3) -> Image.Image:
    """Read and decode an image; say of one that moves that only its first frame is looked at.

    Raises:
        UnreadableImage: it cannot be read, or is no image.
    """
    return decode_still(image.name, image.read(), in_chans)


def decode_still(name: str, encoded: bytes, in_chans: int = 3) -> Image.Image:
    """Decode an image that was read; say of one that moves that only its first frame is looked at.

    Raises:
        UnreadableImage: it is no image.
    """
    frames = num_frames(encoded)
    if frames > 1:
        logger.warning(
            "%s has %d frames, and only the first is looked at: save it as a video (.mp4) for all of "
            "them",
            name,
            frames,
        )
    return decode(encoded, in_chans)


def named_places(images: Iterable[ImageInput]) -> list[Path | str]:
    """Return the path of each image that is a file, and what else is said of the others."""
    return [image.path if isinstance(image, FileInput) else image.name for image in images]


def as_list(images: Any) -> list[Any]:
    """Return images, by name or as pixels, in a list; a lone one is a list of one.

    An array of four dimensions is as many images as its first says. None is none.
    """
    if images is None:
        # An array of two or three dimensions is one image; PIL images have no dimensions.
        return []
    if isinstance(images, str | Path | Image.Image) or getattr(images, "ndim", None) in (2, 3):
        return [images]
    if hasattr(images, "ndim") and images.ndim != 4:
        raise InvalidValue(f"an image has two or three dimensions, got {images.ndim}")
    if not isinstance(images, Iterable) or isinstance(images, bytes):
        raise InvalidType(f"images are paths, PIL images or arrays, got {type(images).__name__}")
    return list(images)


def find_inputs(
    named: Iterable[str | Path | Image.Image | ArrayLike], stdin: BinaryIO | None = None
) -> tuple[list[ImageInput], list[str]]:
    """Return images in the order they were named, and sentences about names that lead nowhere.

    A name is a file, a folder (all images below it, sorted), a pattern with ``*``, ``?``, ``[]`` or
    ``**``, an http(s) address, or ``-``: standard input, which holds one image or, as text, names
    one a line. Nothing is fetched here. PIL images and arrays (see :func:`rgb_of`) stand for themselves.

    Raises:
        MissingFile: none of the names leads anywhere. InvalidValue: no images there, or nothing on
            standard input.
    """
    found: list[ImageInput] = []
    problems: list[str] = []
    for number, name in enumerate(as_list(named)):
        if not isinstance(name, str | Path):
            said = f"image {number}"
            found.append(PixelInput(said, Image.fromarray(rgb_of(name, said))))
        elif str(name) in STDIN:
            inputs, missing = _from_stdin(stdin)
            found += inputs
            problems += missing
        elif inputs := _expand(str(name), patterns=True):
            found += inputs
        else:
            problems.append(_nothing_at(str(name)))
    if not found:
        listed = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        # A name that leads nowhere is another mistake than a folder without images.
        if problems and not problems[0].startswith("no images"):
            raise MissingFile(problems[0] + listed)
        raise InvalidValue((problems or ["no images in an empty list"])[0] + listed)
    return found, problems


def names_images(name: str) -> bool:
    """Return whether a name is one that :func:`find_inputs` finds images by, as far as it shows.

    A folder is where there are images in it, and a file whatever its ending, but for ``.json``.
    """
    path = Path(name)
    # An empty name would be the folder one is in, with all that lies below it.
    if not name or not can_exist(path):
        return is_address(name)
    if path.is_dir():
        return any(Path(p).suffix.lower() in SUFFIXES for p, _ in walk(path))
    suffix = path.suffix.lower()
    return (
        name in STDIN
        or is_address(name)
        or suffix in SUFFIXES
        or (path.is_file() and suffix != ".json")
        or has_pattern(name)
    )


def _expand(name: str, *, patterns: bool) -> list[ImageInput]:
    if is_address(name):
        return [AddressInput(name)]
    path = Path(name)
    if not name or not can_exist(path):
        return []
    # By suffix alone: a folder may hold thousands of files.
    if path.is_dir():
        return [FileInput(path / p) for p, _ in walk(path) if Path(p).suffix.lower() in SUFFIXES]
    if path.exists():
        return [FileInput(path)]
    # Lists hold names as they are: a star in them is a letter.
    if not (patterns and has_pattern(name)):
        return []
    found = matches(name)
    return [FileInput(m) for m in found if m.is_file() and m.suffix.lower() in SUFFIXES]


def _nothing_at(name: str) -> str:
    if not name:
        return "no image at '': the name is empty"
    if not can_exist(Path(name)):
        return f"no image at {name[:60]}…: a name of {len(name)} characters is none"
    if Path(name).is_dir():
        return f"no images in {name}"
    if has_pattern(name):
        return f"no image matches {name}"
    return f"no image at {name}"


def _from_stdin(stdin: BinaryIO | None) -> tuple[list[ImageInput], list[str]]:
    # A terminal would wait for somebody to type an image.
    if stdin is None or stdin.isatty():
        raise InvalidValue("- reads standard input: pipe an image or a list of names into it")
    # One byte more, to tell what is too long from what just fits.
    data = stdin.read(MOST_STDIN_BYTES + 1)
    if len(data) > MOST_STDIN_BYTES:
        raise InvalidValue(f"standard input has more than {MOST_STDIN_BYTES >> 20} MiB")
    if not data.strip():
        raise InvalidValue("standard input is empty: pipe an image or a list of names into it")
    # Bytes of an image are no list of names, and the other way round.
    names = None if _is_image(data) else _lines(data)
    if names is None:
        return [BytesInput("standard input", data)], []
    found: list[ImageInput] = []
    problems: list[str] = []
    for name in names:
        inputs = _expand(name, patterns=False)
        found += inputs
        problems += [] if inputs else [_nothing_at(name)]
    return found, problems


def _is_image(data: bytes) -> bool:
    try:
        with no_comments(), Image.open(io.BytesIO(data)):
            return True
    except UnidentifiedImageError:
        return False
    except DECODER_ERRORS:
        return True  # a damaged one; decoding says so


def _lines(data: bytes) -> list[str] | None:
    """Return the lines of a text, or None where the bytes are no text."""
    # Text has no zero bytes, files of all kinds do.
    if b"\0" in data:
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return [line.strip() for line in text.splitlines() if line.strip()]
