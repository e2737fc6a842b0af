"""Get the images that requests name or carry: nothing is read or fetched that the user did not allow."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

import numpy as np
from PIL import Image

from pocketeye.data.files import (
    DECODER_ERRORS,
    UnreadableImage,
    decode,
    no_comments,
    path_parts,
)
from pocketeye.data.files.fetch import fetch, is_address
from pocketeye.data.labelled.label_studio import image_paths
from pocketeye.errors import InvalidValue
from pocketeye.outputs import scratch_folder
from pocketeye.reading import MOST_IMAGE_BYTES, is_file, read_regular

MOST_PIXELS = 50_000_000
"""A request's image may have so many: 150 MB decoded; one of a camera has 24 million."""


def decoded(encoded: bytes) -> np.ndarray:
    """Decode an image of a request: uint8 RGB ``(height, width, 3)``, upright.

    Raises:
        InvalidValue: no image, a damaged one, or one of too many pixels.
    """
    try:
        width, height = _header(encoded)
        if width * height > MOST_PIXELS:
            raise InvalidValue(
                f"an image of {width}x{height} pixels: at most {MOST_PIXELS // 10**6} million are taken"
            )
        return np.asarray(decode(encoded))
    except UnreadableImage as error:
        raise InvalidValue(f"the image cannot be read: {error}") from error


def _header(encoded: bytes) -> tuple[int, int]:
    """Return the size as it is stored, without unpacking pixels; (0, 0) of what is no image."""
    try:
        with no_comments(), Image.open(io.BytesIO(encoded)) as image:
            return image.size
    except DECODER_ERRORS:
        return 0, 0


def from_base64(text: Any) -> bytes:
    """Return the bytes of a base64 text or a data URI.

    Raises:
        InvalidValue: something else.
    """
    if not isinstance(text, str):
        raise InvalidValue(f"an image should be base64 text, and is {type(text).__name__}")
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.endswith(";base64"):
            raise InvalidValue("a data URI of an image is data:image/…;base64,…")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidValue("an image that is no base64 text") from error


class ImageSource:
    """Find what a task names.

    Args:
        folder: in which names are looked for; None: none is.
        origins: addresses such as ``http://localhost:8080`` from which images are fetched; an address
            on another host or port is refused.
        api_key: that Label Studio asks for; sent to the origins only.
    """

    def __init__(
        self, folder: Path | None = None, origins: Sequence[str] = (), api_key: str | None = None
    ) -> None:
        self.folder = None if folder is None else folder.resolve()
        self.origins = [_origin(each) for each in origins]
        self._bases = [each.rstrip("/") + "/" for each in origins]
        self._api_key = api_key

    def read(self, value: Any) -> bytes:
        """Return the bytes of an image.

        Raises:
            InvalidValue: not in the folder and not to be fetched, or it cannot be read.
        """
        if isinstance(value, str) and value.startswith("data:"):
            return from_base64(value)
        path = self._path(value)
        if path is not None:
            try:
                return read_regular(path, MOST_IMAGE_BYTES)
            except OSError as error:
                raise InvalidValue(f"{path.name} cannot be read: {error.strerror}") from error
        return self._fetched(value)

    @contextmanager
    def file(self, value: Any) -> Iterator[Path]:
        """Yield a file with what is named, which a video needs; it is gone after the block if fetched.

        Raises:
            InvalidValue: as :meth:`read`.
        """
        path = self._path(value)
        if path is not None:
            yield path
            return
        data = self._fetched(value)
        with scratch_folder() as scratch:
            suffix = PurePosixPath(urlsplit(value).path).suffix[:8]
            copy = scratch / f"video{suffix if suffix[1:].isalnum() else '.mp4'}"
            copy.write_bytes(data)
            yield copy

    def _path(self, value: Any) -> Path | None:
        """Return the file below the folder that a name means; None where there is none."""
        if not isinstance(value, str) or not value:
            raise InvalidValue("a task names no image")
        if self.folder is None:
            return None
        for name in image_paths(value):
            parts = path_parts(name)
            if ".." in parts:
                continue
            # The longest end of the name that lies in the folder, as for files of labels.
            for start in range(len(parts)):
                path = self.folder.joinpath(*parts[start:])
                # Resolved: a link inside must not lead out.
                if is_file(path) and path.resolve().is_relative_to(self.folder):
                    return path.resolve()
        return None

    def _fetched(self, value: str) -> bytes:
        address = value
        if not is_address(value) and value.startswith("/") and len(self._bases) == 1:
            address = urljoin(self._bases[0], value)  # of the one Label Studio that there is
        if not is_address(address):
            where = f"not below {self.folder.name}" if self.folder else "no folder was named"
            raise InvalidValue(
                f"there is no image {value!r:.80} here ({where}): start with --images"
            )
        if _origin(address) not in self.origins:
            raise InvalidValue(
                f"{address!r:.80} is not fetched: start with --fetch-from {_origin(address)}"
            )
        headers = {"Authorization": f"Token {self._api_key}"} if self._api_key else {}
        try:
            return fetch(address, headers=headers, stay=True)
        except UnreadableImage as error:
            raise InvalidValue(f"{address!r:.80}: {error}") from error


def _origin(address: str) -> str:
    """Return scheme, host and port of an address.

    Raises:
        InvalidValue: no http(s) address.
    """
    try:
        parts = urlsplit(address)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidValue(f"{address!r:.80} is no address: expected http://HOST or https://HOST")
    return f"{parts.scheme}://{parts.hostname}:{port}"
