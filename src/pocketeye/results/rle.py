"""Read and write COCO's run lengths of a binary mask: column by column, the first is background.

The compressed form is that of cocoapi (``maskApi.c``, rleToString): from the fourth run on the
difference to the run before last, in groups of five bits, least significant first, as characters
from ``0`` to ``o``.
"""

from __future__ import annotations

import numpy as np

from pocketeye.errors import InvalidValue


def encode_crop(crop: np.ndarray, left: int, top: int, size: tuple[int, int]) -> np.ndarray:
    """Return the runs (int64) of an image of ``size`` (width, height) that is empty outside ``crop``.

    Args:
        crop: bool ``(h, w)``, its upper left pixel at (``left``, ``top``).
    """
    height, pixels = size[1], size[0] * size[1]
    rows, columns = crop.shape
    # A background row below each column keeps its last run apart from the next column's first.
    padded = np.zeros((columns, rows + 1), np.int8)
    padded[:, :rows] = crop.T
    step = np.diff(padded.ravel(), prepend=np.int8(0))
    starts, stops = (
        (left + at // (rows + 1)) * height + top + at % (rows + 1)
        for at in (np.flatnonzero(step == 1), np.flatnonzero(step == -1))
    )
    touching = starts[1:] == stops[:-1]  # over the edge of a column, where the crop is full height
    starts, stops = (
        starts[np.r_[True, ~touching][: len(starts)]],
        stops[np.r_[~touching, True][: len(stops)]],
    )
    edges = np.concatenate([[0], np.stack([starts, stops], 1).ravel(), [pixels]])
    counts = np.diff(edges)
    return counts[:-1] if counts[-1] == 0 else counts


def decode_crop(
    counts: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Return the filled part of a mask, bool ``(h, w)``, and its box (x0, y0, x1, y1), ends outside.

    Raises:
        InvalidValue: the runs do not make an image of ``size`` (width, height).
    """
    width, height = size
    if (counts < 0).any() or counts.sum() != width * height:
        raise InvalidValue(
            f"the run lengths cover {counts.sum()} pixels, but a mask of {width}x{height} has "
            f"{width * height}: is the size [height, width]?"
        )
    edges = np.cumsum(counts)
    # Runs alternate from background on: every second one is filled.
    starts, stops = edges[: len(edges) - 1 : 2], edges[1::2]
    # A run of no pixels separates two of one kind; it must not widen the box.
    filled = starts < stops
    starts, stops = starts[filled], stops[filled]
    if not len(starts):
        return np.zeros((0, 0), bool), (0, 0, 0, 0)
    x0, x1 = int(starts[0]) // height, int(stops[-1] - 1) // height + 1
    values = np.arange(len(counts)) % 2 == 1
    columns = np.repeat(values, counts)[x0 * height : x1 * height].reshape(x1 - x0, height)
    rows = np.flatnonzero(columns.any(0))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    return np.ascontiguousarray(columns[:, y0:y1].T), (x0, y0, x1, y1)


def compress(counts: np.ndarray) -> str:
    """Return runs as COCO's characters."""
    left = counts.astype(np.int64)
    left[3:] -= counts[1:-2]  # cocoapi's differences begin at the fourth run
    groups: list[np.ndarray] = []
    open_ = np.ones(len(left), bool)
    while open_.any():
        group = left & 0x1F
        left = left >> 5
        # A group is the last once what is left is the sign alone, which the group's top bit tells.
        more = np.where(group & 0x10, left != -1, left != 0) & open_
        groups.append(np.where(open_, group + 48 + 32 * more, 0))
        open_ = more
    characters = np.stack(groups, 1).ravel().astype(np.uint8)
    return characters[characters > 0].tobytes().decode("ascii")


def expand(text: str | bytes) -> np.ndarray:
    """Return COCO's characters as runs (int64).

    Raises:
        InvalidValue: not such characters.
    """
    encoded = text.encode("ascii", "replace") if isinstance(text, str) else text
    codes = np.frombuffer(encoded, np.uint8).astype(np.int64) - 48
    last = (codes & 0x20) == 0
    if not len(codes) or (codes < 0).any() or (codes > 63).any() or not last[-1]:
        raise InvalidValue("these are not the compressed run lengths of COCO")
    ends = np.flatnonzero(last)
    begins = np.r_[0, ends[:-1] + 1]
    place = np.arange(len(codes)) - np.repeat(begins, ends - begins + 1)
    if place.max() > 11:  # 12 groups of 5 bits fill 64; no image needs more than 8
        raise InvalidValue("these are not the compressed run lengths of COCO")
    counts = np.add.reduceat((codes & 0x1F) << (5 * place), begins)
    # The top bit of the last group is the sign.
    negative = (codes[ends] & 0x10) != 0
    counts -= np.where(negative, np.int64(1) << (5 * (place[ends] + 1)), 0)
    # Undo the differences to the run before last: sums over every second run.
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
