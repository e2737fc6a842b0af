"""Decode a file or its bytes to an 8-bit image, whatever was stored."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from pocketeye.reading import what_is_at

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".apng", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm",
     ".pgm", *((".avif",) if features.check("avif") else ()))
)  # fmt: skip
DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, MemoryError, LookupError, TypeError,
    AttributeError, ArithmeticError, struct.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow's readers raise for damaged files: each format has its own."""
_ORIENTATION = 0x0112  # of EXIF
# Pillow opens these with another program, or with none
_NO_PIXELS = frozenset(("EPS", "WMF"))


class UnreadableImage(Exception):  # noqa: N818 - named for the mistake
    """Report that the image cannot be decoded; the message says why in a few words."""


def decode(encoded: bytes | Path, in_chans: int = 3) -> Image.Image:
    """Decode to mode ``RGB`` (3 channels) or ``L`` (1), upright.

    The EXIF orientation is applied, transparency lies on white, 16-bit and float images are scaled
    to 8 bits, palettes and CMYK are converted; of an animation the first frame is taken.

    Raises:
        UnreadableImage: empty, truncated or not an image.
    """
    source = io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    try:
        with no_comments(), Image.open(_regular(source)) as image:
            if image.format in _NO_PIXELS:
                raise UnidentifiedImageError
            image.load()
            # The usual case needs no conversion, and most time is spent here.
            if in_chans == 3 and _is_plain(image):
                return image
            return to_mode(turned_upright(image), in_chans)
    except DECODER_ERRORS as error:
        raise UnreadableImage(_reason(encoded, error)) from error


def _regular(source: io.BytesIO | Path) -> io.BytesIO | Path:
    """Return what Pillow may open; raise UnreadableImage for a pipe, a device or a folder."""
    if isinstance(source, Path) and (kind := what_is_at(source)) is not None and source.exists():
        raise UnreadableImage(f"{kind}, not an image")
    return source


def turned_upright(image: Image.Image) -> Image.Image:
    """Return a loaded image turned as its EXIF says; as it is stored where that is damaged."""
    try:
        return ImageOps.exif_transpose(image)
    except DECODER_ERRORS:
        return image


def decode_as(path: Path, size: tuple[int, int]) -> Image.Image:
    """Decode to RGB of (width, height), upright, or as stored where only that has this size.

    Annotations are made on one or the other, and their size tells which.

    Raises:
        UnreadableImage: damaged, or of another size.
    """
    image = decode(path)
    if image.size == size:
        return image
    # Turned by EXIF: the annotations may be of the image as it is stored.
    if image.size == size[::-1]:
        with no_comments(), Image.open(_regular(path)) as stored:
            if stored.size == size:
                return to_mode(stored, 3)
    raise UnreadableImage(
        f"an image of {image.width}x{image.height}, but its annotations are for {size[0]}x{size[1]}"
    )


def looks_like_image(head: bytes) -> bool:
    """Tell whether the first 16 bytes are those of JPEG, PNG or WebP."""
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return webp or head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))


@contextmanager
def no_comments() -> Iterator[None]:
    """Keep Pillow's warnings of odd metadata and of many pixels to itself (both are handled here)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _is_plain(image: Image.Image) -> bool:
    """Tell whether this is RGB without orientation or transparency, as most images are."""
    # TIFF may have more bits than its mode says.
    special = image.format == "TIFF" or "exif" in image.info or "transparency" in image.info
    return image.mode == "RGB" and not special


def header_size(path: Path) -> tuple[int, int]:
    """Read width and height from the header alone (Pillow may warn, see ``no_comments``).

    Raises:
        UnreadableImage: not an image (a truncated one may pass).
    """
    return header_mode(path)[1]


def num_frames(encoded: bytes) -> int:
    """Count the frames of an animation or the pages of a TIFF; 1 of a still, and of what is no image."""
    try:
        with no_comments(), Image.open(io.BytesIO(encoded)) as image:
            return int(getattr(image, "n_frames", 1))
    except DECODER_ERRORS:
        return 1


def header_mode(path: Path) -> tuple[str, tuple[int, int]]:
    """Read Pillow's mode, and (width, height) as stored, from the header alone (Pillow may warn).

    Raises:
        UnreadableImage: not an image (a truncated one may pass).
    """
    try:
        with Image.open(_regular(path)) as image:
            return image.mode, image.size
    except DECODER_ERRORS as error:
        raise UnreadableImage(_reason(path, error)) from error


def upright_size(path: Path) -> tuple[int, int]:
    """Read width and height as :func:`decode` gives them, from the header alone.

    Raises:
        UnreadableImage: not an image (a truncated one may pass).
    """
    try:
        with Image.open(_regular(path)) as image:
            return image.size[::-1] if _lies_on_its_side(image) else image.size
    except DECODER_ERRORS as error:
        raise UnreadableImage(_reason(path, error)) from error


def _lies_on_its_side(image: Image.Image) -> bool:
    try:
        # 5 to 8 lie on their side; 1 to 4 are upright, mirrored or upside down.
        return image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    except DECODER_ERRORS:
        return False  # damaged EXIF: the image is taken as it is stored


def read_pixels(path: Path) -> tuple[str, np.ndarray]:
    """Read mode and pixels as they are stored (a palette's indices), where values mean something.

    Raises:
        UnreadableImage: empty, truncated or not an image.
    """
    try:
        with no_comments(), Image.open(_regular(path)) as image:
            if image.format in _NO_PIXELS:
                raise UnidentifiedImageError
            image.load()
            return image.mode, np.asarray(image)
    except DECODER_ERRORS as error:
        raise UnreadableImage(_reason(path, error)) from error


def _reason(encoded: bytes | Path, error: Exception) -> str:
    size = len(encoded) if isinstance(encoded, bytes) else _size_bytes(encoded)
    if size == 0:
        return "empty file"
    if isinstance(error, UnidentifiedImageError):
        return "not an image"
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6  # Pillow refuses from twice its limit on
        return f"too many pixels (above {most:.0f} million, or than the memory holds)"
    text = str(error).partition("\n")[0] or type(error).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def to_mode(image: Image.Image, in_chans: int) -> Image.Image:
    """Convert a loaded image of any mode to 8 bits and ``in_chans`` channels (1 or 3)."""
    # 16 bits and floats do not fit into 8: they are scaled first.
    if image.mode.startswith(("I", "F")):
        image = _to_8_bits(image)
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        # On white, as most viewers show it; black would change logos and drawings.
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("L" if in_chans == 1 else "RGB")


def _to_8_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(np.float64)
    # Floats up to 1 are shares, others are levels.
    if image.mode == "F" and pixels.size and pixels.max() <= 1.0:
        pixels = pixels * 255.0
    elif image.mode.startswith("I;16") or (pixels.size and pixels.max() > 255):
        pixels = pixels / 257.0  # 65535 becomes 255
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
