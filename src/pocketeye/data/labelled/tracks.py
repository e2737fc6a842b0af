"""Fill in the frames between those in which an annotator placed an object of a video."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pocketeye.data.labelled.objects import LabelledFrame, LabelledObject, Size

MOST_FRAMES = 100_000_000
"""A larger number of a frame is damage: a month of video has fewer."""


@dataclass(slots=True)
class Track:
    """Hold one object of a video.

    Attributes:
        shown: the object in frames in which it was placed.
        gone: frames from which on it is out of sight, until it is shown again.
    """

    shown: dict[int, LabelledObject] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)


def frames_of(
    tracks: Sequence[Track], size: Size | None, num_frames: int
) -> Iterator[LabelledFrame]:
    """Yield the frames in which there is an object, in order.

    Between two shapes boxes, and polygons of as many points, move in a straight line; other shapes
    stay. After its last shape an object stays until the end.

    Args:
        num_frames: of the video; 0 where nothing says it: then an object ends with its last shape.
    """
    last = max((frame for track in tracks for frame in track.shown), default=-1)
    # A shape wins over an end in the same frame.
    times = [sorted({*track.shown, *track.gone}) for track in tracks]
    for frame in range(max(last + 1, min(num_frames, MOST_FRAMES))):
        found = (
            _at(track, moments, frame, num_frames > 0)
            for track, moments in zip(tracks, times, strict=True)
        )
        objects = tuple(each for each in found if each is not None)
        if objects:
            yield LabelledFrame(frame=frame, size=size, objects=objects)


def _at(track: Track, times: list[int], frame: int, to_the_end: bool) -> LabelledObject | None:
    """Return the object in a frame; None where it is not there."""
    if frame in track.shown:
        return track.shown[frame]
    place = bisect.bisect_right(times, frame) - 1
    before = track.shown.get(times[place]) if place >= 0 else None
    if before is None:  # not yet, or gone since then
        return None
    if place + 1 == len(times):
        return before if to_the_end else None
    after = track.shown.get(times[place + 1])
    if after is None:  # where it goes, nothing is said of its place
        return before
    return _between(before, after, (frame - times[place]) / (times[place + 1] - times[place]))


def _between(one: LabelledObject, other: LabelledObject, share: float) -> LabelledObject:
    box, polygons = one.box, one.polygons
    if box is not None and other.box is not None:
        x0, y0, x1, y1 = (a + share * (b - a) for a, b in zip(box, other.box, strict=True))
        box = (x0, y0, x1, y1)
    # CVAT matches polygons of other numbers of points by a rule of its own: here these wait.
    if [len(polygon) for polygon in polygons] == [len(polygon) for polygon in other.polygons]:
        polygons = tuple(
            tuple(a + share * (b - a) for a, b in zip(mine, theirs, strict=True))
            for mine, theirs in zip(polygons, other.polygons, strict=True)
        )
    return replace(one, box=box, polygons=polygons)
