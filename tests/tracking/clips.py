"""Small clips whose every frame says its number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 12


def numbered(index: int, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    """A frame with its number as ``BITS`` black and white bars, so that coding cannot blur it."""
    bits = (index >> np.arange(BITS)) & 1
    bars = np.repeat(bits, size[0] // BITS).astype(np.uint8) * 235
    frame = np.broadcast_to(bars[None, :, None], (size[1], len(bars), 3)).copy()
    frame[: size[1] // 4] = 90  # an edge that says where up is
    return frame


def number_of(frame: np.ndarray) -> int:
    row = frame[-frame.shape[0] // 4].mean(-1)
    bars = row[: row.size // BITS * BITS].reshape(BITS, -1).mean(1) > 117
    return int((bars.astype(int) << np.arange(BITS)).sum())


def write_clip(
    path: Path,
    count: int,
    *,
    stamps: Sequence[int] | None = None,
    codec: str = "libx264",
    rotation: float = 0,
    frames: Iterator[np.ndarray] | None = None,
    options: dict[str, str] | None = None,
    faststart: bool = False,
    pix_fmt: str = "yuv420p",
    format: str | None = None,
) -> Path:
    """Write numbered frames; H.264 with B-frames and a keyframe every 25 frames by default."""
    flags = {"movflags": "faststart"} if faststart else {}
    with av.open(path, "w", options=flags, format=format) as container:
        h264 = {"bf": "3", "g": "25", "preset": "ultrafast", "b-adapt": "0", "crf": "10"}
        options = h264 if options is None and codec == "libx264" else options or {}
        stream = container.add_stream(codec, rate=25, options=options)
        stream.pix_fmt = pix_fmt
        stream.time_base = Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        for i in range(count):
            array = numbered(i) if frames is None else next(frames)
            if i == 0:
                stream.height, stream.width = array.shape[:2]
                if rotation:
                    stream.set_display_rotation(rotation)
            image = av.VideoFrame.from_ndarray(array)
            image.pts = 40 * i if stamps is None else stamps[i]
            image.time_base = Fraction(1, 1000)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path
