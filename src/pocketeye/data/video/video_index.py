"""Index the frames of a video file, which is read once without decoding."""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from pathlib import Path

from av.error import FFmpegError
from av.packet import Packet

from pocketeye.data.video.av import open_video_track, video_track

logger = logging.getLogger(__name__)
_TOLERATED_S = 0.5  # headers round


@dataclass(kw_only=True)
class FrameIndex:
    """Time stamps of all frames, ascending, and of those where decoding can start.

    ``exact`` is False where stamps are missing or occur twice: then frames can only be counted, and
    ``stamps`` are their numbers.
    """

    stamps: array[int]
    keys: array[int]
    exact: bool

    def key_before(self, position: int) -> int | None:
        """Return the stamp of the last keyframe at or before a frame; None: decode from the start."""
        at = bisect_right(self.keys, self.stamps[position]) if self.exact else 0
        return self.keys[at - 1] if at else None


def read_index(path: Path, first: int | None) -> FrameIndex:
    """List the frames of a file.

    Args:
        path: of the file.
        first: stamp of the first frame that decodes; what comes before is left out.
    """
    stamps: list[int | None] = []
    keys: list[int] = []
    damaged = 0  # packets at the end that are not whole
    others_end_s = 0.0  # of sound and texts, which may go on after the last frame
    shown_until_s = 0.0  # in slide shows the last frame stays for seconds
    with open_video_track(path) as container:
        track = video_track(container)
        try:
            for packet in container.demux():
                if not packet.size or packet.is_discard:
                    continue
                if packet.stream_index != track.index:
                    others_end_s = max(others_end_s, _end_s(packet))
                    continue
                stamps.append(packet.pts)
                damaged = damaged + 1 if packet.is_corrupt else 0
                if not packet.is_corrupt:
                    shown_until_s = max(shown_until_s, _end_s(packet))
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
        except FFmpegError as error:
            logger.debug("%s: reading ended: %s", path.name, error)
        begins_s = (container.start_time or 0) / 1e6
        unit_s = float(track.time_base or 0)
        if track.duration is not None:
            lasts_s = track.duration * unit_s + (track.start_time or 0) * unit_s - begins_s
        else:  # then only the whole file has a length, which the sound may fill alone
            lasts_s = (container.duration or 0) / 1e6
            if others_end_s - begins_s >= lasts_s - _TOLERATED_S:
                lasts_s = 0.0
    whole = stamps[: len(stamps) - damaged]
    known = sorted(stamp for stamp in whole if stamp is not None)
    end_s = known[-1] * unit_s - begins_s if known else 0.0
    if damaged or (known and shown_until_s - begins_s < lasts_s - _TOLERATED_S):
        logger.warning(
            "%s is cut short: frame %d is its last, at %.2f s of the %.2f s its header promises",
            path.name, len(whole) - 1, end_s, lasts_s,
        )  # fmt: skip
    if first is None or len(known) < len(whole) or len(set(known)) < len(known):
        return FrameIndex(stamps=array("q", range(len(whole))), keys=array("q"), exact=False)
    return FrameIndex(
        stamps=array("q", known[bisect_left(known, first) :]),
        keys=array("q", sorted(keys)),
        exact=True,
    )


def _end_s(packet: Packet) -> float:
    if packet.pts is None or packet.time_base is None:
        return 0.0
    return float((packet.pts + (packet.duration or 0)) * packet.time_base)
