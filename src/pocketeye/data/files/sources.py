"""Encoded images by number, read from where they lie each time they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pocketeye.data.files.decode import UnreadableImage, header_size, no_comments
from pocketeye.data.files.names import Names
from pocketeye.reading import MOST_IMAGE_BYTES, read_regular

_THREADS, _CHUNK = 8, 512  # a disk answers several at once; a chunk outweighs starting a thread


class Source(Protocol):
    """Give images of one split; it holds only names and numbers, and so travels to processes."""

    @property
    def total_bytes(self) -> int:
        """Size of all images, encoded (an upper bound)."""

    def read(self, row: int) -> bytes:
        """Return the encoded image; raises ``UnreadableImage``."""

    def name(self, row: int) -> str:
        """Return what a person would call the image."""

    def marks(self, rows: np.ndarray) -> Iterator[bytes]:
        """Yield what identifies the images without reading them: names and sizes."""

    def check(self, rows: np.ndarray, advance: Callable[[int], None]) -> dict[int, str]:
        """Look at every image quickly: place in ``rows`` and what is wrong with it."""


@dataclass(frozen=True)
class FileSource:
    """Give files below ``root``; ``sizes`` in bytes, int64 ``(N,)``."""

    root: Path
    names: Names
    sizes: np.ndarray

    @property
    def total_bytes(self) -> int:
        return int(self.sizes.sum())

    def read(self, row: int) -> bytes:
        try:
            return read_regular(self.root / self.names[row], MOST_IMAGE_BYTES)
        except OSError as error:
            raise UnreadableImage(error.strerror or str(error)) from error

    def name(self, row: int) -> str:
        return self.names[row]

    def marks(self, rows: np.ndarray) -> Iterator[bytes]:
        for row in rows:
            text = f"{self.names[row]}\0{self.sizes[row]}\n"
            yield text.encode("utf-8", "surrogateescape")

    def check(self, rows: np.ndarray, advance: Callable[[int], None]) -> dict[int, str]:
        """Read the headers; several at once, as a disk that is asked for the first time is slow."""
        bad: dict[int, str] = {}
        starts = range(0, len(rows), _CHUNK)
        with no_comments(), ThreadPoolExecutor(_THREADS) as pool:
            for found in pool.map(lambda start: self._headers(rows, start), starts):
                bad.update(found)
                advance(_CHUNK)
        return bad

    def _headers(self, rows: np.ndarray, start: int) -> dict[int, str]:
        bad = {}
        for place in range(start, min(start + _CHUNK, len(rows))):
            try:
                header_size(self.root / self.names[rows[place]])
            except UnreadableImage as error:
                bad[place] = str(error)
        return bad


def walk(folder: Path) -> Iterator[tuple[str, int]]:
    """List the files below ``folder``, sorted: relative path and size in bytes; none hidden.

    Linked files are followed, linked folders inside are not (they may lead in a circle). Links that
    lead nowhere, or to themselves, are left out.
    """
    # A stack, not recursion: folders may be deep.
    pending = [""]
    while pending:
        inside = pending.pop()
        with os.scandir(folder / inside) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        deeper = []
        for entry in found:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir(follow_symlinks=False):
                deeper.append(path)
            elif not entry.name.startswith(".") and (size := _size_of(entry)) is not None:
                yield path, size
        # Reversed: the last is taken first.
        pending += reversed(deeper)


def _size_of(entry: os.DirEntry[str]) -> int | None:
    """Return the size of a file in bytes; None of what is none, as of a link that leads nowhere."""
    try:
        return entry.stat().st_size if entry.is_file() else None
    except OSError:  # a link to itself; a file that has gone since
        return None
