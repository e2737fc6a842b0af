"""Read and write the run lengths of Label Studio's brushes, which are of an RGBA image.

A 32-bit count of values, the bits of a value less one (5), four times the bits of a length less one (4);
then runs: one bit whether one value repeats, two for which of the four lengths, the length less one, and
the value or values. These are the run lengths of the package ``@thi.ng/rle-pack``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from pocketeye.data.labelled.objects import Size
from pocketeye.results import CompactMask

_MOST_PIXELS = 1 << 28  # of a brush mask; the largest image that Pillow decodes has 1.8e8
_WORD_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)  # as Label Studio's own converter writes them


def read_brush(numbers: Any, size: Size) -> CompactMask:
    """Return a mask, filled where the image is not transparent.

    Raises:
        ValueError: damaged, or of an image of another size than (width, height).
    """
    if not isinstance(numbers, list) or len(numbers) > 4 * _MOST_PIXELS:
        raise ValueError("run lengths that are no list")
    bits = np.unpackbits(np.array(numbers, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        part = bits[place : place + count]
        if len(part) < count:
            raise ValueError("run lengths that end too early")
        place += count
        return int(part @ (1 << np.arange(count - 1, -1, -1, dtype=np.int64)))

    total, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    if total != 4 * size[0] * size[1] or total > 4 * _MOST_PIXELS:
        raise ValueError("run lengths of another size")
    values = np.zeros(total, np.int64)
    at = 0
    while at < total:
        repeats = take(1)
        stop = at + 1 + take(lengths[take(2)])
        if stop > total:
            raise ValueError("run lengths that go beyond their image")
        if repeats:
            values[at:stop] = take(word)
        else:
            block = bits[place : place + word * (stop - at)]
            if len(block) < word * (stop - at):
                raise ValueError("run lengths that end too early")
            values[at:stop] = block.reshape(-1, word) @ (1 << np.arange(word - 1, -1, -1))
            place += word * (stop - at)
        at = stop
    return CompactMask.from_dense(values.reshape(size[1], size[0], 4)[..., 3] > 0)


def write_brush(mask: CompactMask) -> list[int]:
    """Return run lengths as bytes, of an image that is white and opaque where the mask is filled."""
    row = mask.dense().ravel()
    edges = [0, *(np.flatnonzero(np.diff(row.astype(np.int8))) + 1).tolist(), len(row)]
    parts = [f"{4 * len(row):032b}{_WORD_BITS - 1:05b}", *(f"{b - 1:04b}" for b in _LENGTH_BITS)]
    for start, stop in pairwise(edges):
        left = 4 * (stop - start)  # four channels of one value
        while left:
            length = min(left, 1 << _LENGTH_BITS[-1])
            place = next(n for n, bits in enumerate(_LENGTH_BITS) if length <= 1 << bits)
            parts.append(f"1{place:02b}{length - 1:0{_LENGTH_BITS[place]}b}")
            parts.append("11111111" if row[start] else "00000000")
            left -= length
    bits = np.frombuffer("".join(parts).encode(), np.uint8) - ord("0")
    return [int(each) for each in np.packbits(bits)]
