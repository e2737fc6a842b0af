"""Write videos of results: frames with their objects drawn, or the objects alone on transparency."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream

from pocketeye.errors import InvalidValue
from pocketeye.results import Result
from pocketeye.tracking.io.video_file import VideoFile
from pocketeye.tracking.io.writer import Writer

# What plays everywhere first; mpeg4 is in every build of FFmpeg.
_OVERLAY_CODECS = ("libx264", "libopenh264", "mpeg4")
# FFmpeg's names, as it does not see the suffix of a file that it is handed open.
_FORMATS = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm", ".mov": "mov"}
_OPTIONS = {
    "libx264": {"crf": "20", "preset": "veryfast"},
    "libopenh264": {"b": "8M"},
    "mpeg4": {"q": "4"},
    # alternate reference frames cannot carry alpha
    "libvpx-vp9": {
        "crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "6", "auto-alt-ref": "0",
    },
    "prores_ks": {"profile": "4444", "alpha_bits": "16"},
}  # fmt: skip


class VideoWriter(Writer):
    """Write one video track, no sound, a constant number of frames a second.

    Attributes:
        codec: name of the encoder.
    """

    def __init__(
        self, path: Path, *, codec: str, pix_fmt: str, fps: float, overwrite: bool = False
    ) -> None:
        if not 0 < fps <= 1000:
            raise InvalidValue(f"frames a second must lie between 0 and 1000, got {fps}")
        super().__init__(path, overwrite=overwrite)
        self.codec, self._pix_fmt = codec, pix_fmt
        # the float of 30000/1001 becomes that fraction again
        self._rate = Fraction(fps).limit_denominator(1001)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._file: VideoFile | None = None
        self._size: tuple[int, int] | None = None

    def _write(self, result: Result, frame: int) -> None:
        self._encode(np.ascontiguousarray(result.overlay()), "rgb24")

    def _encode(self, pixels: np.ndarray, form: str) -> None:
        size = pixels.shape[1], pixels.shape[0]
        container, stream = self._opened(size)
        if size != self._size:
            raise InvalidValue(
                f"frame {self.num_written} is {size[0]}x{size[1]}, but {self.path.name} began with "
                f"{self._size}: all frames must have one size"
            )
        image = av.VideoFrame.from_ndarray(_even(pixels), format=form)
        # said in the file as well, so that no player has to guess
        image = image.reformat(
            format=self._pix_fmt, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        image.pts, image.time_base = self.num_written, 1 / self._rate
        container.mux(stream.encode(image))
        self._check()

    def _opened(self, size: tuple[int, int]) -> tuple[OutputContainer, VideoStream]:
        if self._container is None or self._stream is None:
            flags = {"movflags": "faststart"} if self.path.suffix in (".mp4", ".mov") else {}
            self._file = VideoFile(self.partial)
            self._container = av.open(
                self._file, "w", format=_FORMATS[self.path.suffix.lower()], options=flags,
                io_open=self._file.reopened,
            )  # fmt: skip
            self._stream = self._container.add_stream(
                self.codec, rate=self._rate, options=dict(_OPTIONS[self.codec])
            )  # type: ignore[assignment]
            assert isinstance(self._stream, VideoStream)
            self._stream.width, self._stream.height = size[0] + size[0] % 2, size[1] + size[1] % 2
            self._stream.pix_fmt = self._pix_fmt
            context = self._stream.codec_context
            context.time_base = 1 / self._rate
            context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            self._size = size
        return self._container, self._stream

    def _finish(self) -> None:
        if self._container is not None and self._stream is not None and self._file is not None:
            container, self._container = self._container, None
            with container:
                container.mux(self._stream.encode(None))
            self._file.sync()
            self._file.close()
            self._check()

    def _drop(self) -> None:
        if self._container is not None:
            container, self._container = self._container, None
            with suppress(FFmpegError, OSError):
                container.close()
        if self._file is not None:
            self._file.close()

    def _check(self) -> None:
        """Raise what the disk said meanwhile."""
        if self._file is not None and self._file.error is not None:
            raise self._file.error


class AlphaWriter(VideoWriter):
    """Write the objects cut out: VP9 with alpha in ``.webm``, ProRes 4444 in ``.mov``."""

    def _write(self, result: Result, frame: int) -> None:
        self._encode(result.cutout(), "rgba")


def overlay_writer(path: Path, *, fps: float, overwrite: bool) -> VideoWriter:
    """H.264 where this build of PyAV can write it, else MPEG-4."""
    codec = next(name for name in _OVERLAY_CODECS if _available(name))
    return VideoWriter(path, codec=codec, pix_fmt="yuv420p", fps=fps, overwrite=overwrite)


def alpha_writer(path: Path, *, fps: float, overwrite: bool) -> AlphaWriter:
    """Choose the codec that keeps alpha in this container.

    Raises:
        InvalidValue: this build of PyAV lacks it.
    """
    codec, pix_fmt = {
        ".webm": ("libvpx-vp9", "yuva420p"),
        ".mov": ("prores_ks", "yuva444p10le"),
    }[path.suffix.lower()]
    if not _available(codec):
        raise InvalidValue(
            f"this build of PyAV cannot write {codec}, which keeps transparency in {path.suffix}: "
            "write a folder of cut-out PNGs instead"
        )
    return AlphaWriter(path, codec=codec, pix_fmt=pix_fmt, fps=fps, overwrite=overwrite)


def _available(codec: str) -> bool:
    try:
        av.Codec(codec, "w")
    except ValueError:  # PyAV's UnknownCodecError
        return False
    return True


def _even(pixels: np.ndarray) -> np.ndarray:
    """Repeat the last row or column where a side is odd: colour is stored for two pixels at once."""
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return pixels
