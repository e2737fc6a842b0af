"""Store images: decoded in memory, or encoded until they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from pocketeye.data.files.decode import decode
from pocketeye.data.files.sources import Source


class Store(Protocol):
    """Give images by number."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> Image.Image:
        """Return the image ``index`` as ``RGB`` or ``L``; raises ``UnreadableImage``."""

    def name(self, index: int) -> str:
        """Return the file or row that the image came from."""

    def stacked(self) -> np.ndarray | None:
        """Return all as one uint8 array ``(N, H, W, C)``, where they are in memory and of one size."""


@dataclass(frozen=True)
class MemoryStore:
    """Decoded images: one array ``(N, H, W, C)``, or a list where the sizes differ."""

    pixels: np.ndarray | Sequence[np.ndarray]
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.pixels)

    def image(self, index: int) -> Image.Image:
        pixels = self.pixels[index]
        return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)

    def name(self, index: int) -> str:
        return self.names[index]

    def stacked(self) -> np.ndarray | None:
        return self.pixels if isinstance(self.pixels, np.ndarray) else None


@dataclass(frozen=True)
class EncodedStore:
    """Read and decode images ``rows`` of a source each time they are asked for."""

    source: Source
    rows: np.ndarray
    in_chans: int

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> Image.Image:
        return decode(self.source.read(int(self.rows[index])), self.in_chans)

    def name(self, index: int) -> str:
        return self.source.name(int(self.rows[index]))

    def stacked(self) -> np.ndarray | None:
        return None


class ImageGathering:
    """Decoded images one after the other; images of one size are written into one array at once."""

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._block: np.ndarray | None = None
        self._loose: list[np.ndarray] = []

    def add(self, pixels: np.ndarray) -> None:
        """Add an image, uint8 ``(H, W, C)``."""
        # The first image's size is taken for all, until another one comes.
        if self._count == 0:  # memory is taken as it is filled
            self._block = np.empty((self._most, *pixels.shape), np.uint8)
        if self._block is not None and self._block.shape[1:] != pixels.shape:
            # Copies, so that the block is given back.
            self._loose = [row.copy() for row in self._block[: self._count]]
            self._block = None
        if self._block is None:
            self._loose.append(pixels)
        else:
            self._block[self._count] = pixels
        self._count += 1

    def store(self, names: Sequence[str]) -> MemoryStore:
        """Return everything that was added."""
        whole = None if self._block is None else self._block[: self._count]
        return MemoryStore(self._loose if whole is None else whole, names)
