"""Track the boxes that somebody drew in a video in Label Studio (``VideoRectangle``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pocketeye.data.labelled import label_studio
from pocketeye.data.labelled.objects import Size, clipped_box, frame_of
from pocketeye.errors import InvalidValue
from pocketeye.tracking.io.source import open_video
from pocketeye.tracking.video.session import Session
from pocketeye.web.backends.endpoints import fields, items, numbers
from pocketeye.web.backends.images import ImageSource
from pocketeye.web.backends.model import BackendModel

FRAMES_AHEAD = 60
"""Frames that a request tracks, two seconds: a person waits for it. The next request goes on."""
_MOST_OBJECTS = 20
_MOST_STEPS = 100_000  # keyframes of an object


def track_regions(
    model: BackendModel, source: ImageSource, value: Any, regions: Sequence[Mapping[str, Any]],
    from_name: str, to_name: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the regions with the boxes of the frames behind the last one that somebody drew.

    Args:
        model: tracks.
        source: of the video.
        value: what the task calls the video.
        regions: of type ``videorectangle``, each with a ``sequence`` of boxes.
        from_name: of the tag that labels.
        to_name: of the tag that shows the video.

    Raises:
        InvalidValue: no such video, no box, or a box outside of it.
    """
    drawn = [each for each in regions if each.get("type") == "videorectangle"][:_MOST_OBJECTS]
    sequences = [_sequence(each) for each in drawn]
    if not any(sequences):
        raise InvalidValue("nothing is drawn in the video: draw a box first")
    with (
        source.file(value) as path, open_video(path) as video,
        model.tracker.open(video) as session, model.lock,
    ):  # fmt: skip
        shown = _prompted(session, sequences, video.size)
        last = max(shown.values())
        stop = last + 1 + FRAMES_AHEAD
        if video.num_frames is not None:
            stop = min(stop, video.num_frames)
        tracked: dict[int, list[Any]] = {n: [] for n in range(len(drawn))}
        # An object that was drawn long before the others is caught up with over as many frames.
        for found in session.run(max(min(shown.values()), last - FRAMES_AHEAD), stop):
            frame = int(found.frame or 0)
            for each in frame_of(found).objects:
                if frame <= shown[each.object_id]:
                    continue
                fps = _fps(drawn[each.object_id - 1], video.fps)
                step = label_studio.video_step(each, frame, video.size, fps=fps)
                tracked[each.object_id - 1].append(step)
    return [
        _answer(each, [*steps, *tracked[n]], from_name, to_name)
        for n, (each, steps) in enumerate(zip(drawn, sequences, strict=True))
    ]


def _sequence(region: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the boxes that were drawn, in order of their frames."""
    value = fields(region.get("value"), "a region's value")
    steps = [fields(s, "a box") for s in items(value.get("sequence"), "a sequence", _MOST_STEPS)]
    return sorted(steps, key=lambda step: numbers([step.get("frame")], 1, "a frame")[0])


def _prompted(
    session: Session, sequences: Sequence[Sequence[Mapping[str, Any]]], size: Size
) -> dict[int, int]:
    """Show the session the last box of each object; return its frame, from 0, by the object."""
    frames: dict[int, int] = {}
    for n, steps in enumerate(sequences, 1):
        enabled = [step for step in steps if step.get("enabled", True) is not False]
        if not enabled:
            continue
        said = enabled[-1]
        keys = ("x", "y", "width", "height")
        x, y, w, h = numbers([said.get(key) for key in keys], 4, "a box")
        across, down = size[0] / 100, size[1] / 100
        box = clipped_box((x * across, y * down, (x + w) * across, (y + h) * down), size)
        frame = max(int(numbers([said.get("frame")], 1, "a frame")[0]) - 1, 0)
        session.add(n, frame=frame, box=box)
        frames[n] = frame
    if not frames:
        raise InvalidValue("no box is shown: each has ended")
    return frames


def _fps(region: Mapping[str, Any], otherwise: float | None) -> float | None:
    """Return frames a second as Label Studio counts them for this video."""
    value = fields(region.get("value"), "a region's value")
    count, duration = value.get("framesCount"), value.get("duration")
    if isinstance(count, int | float) and isinstance(duration, int | float) and duration > 0:
        return count / duration
    return otherwise


def _answer(
    region: Mapping[str, Any], steps: list[Any], from_name: str, to_name: str
) -> dict[str, Any]:
    """Return a region with other boxes; id, labels and counts are those that came."""
    value = {**fields(region.get("value"), "a region's value"), "sequence": steps}
    return {
        "id": region.get("id"), "type": "videorectangle", "origin": "manual", "value": value,
        "from_name": from_name, "to_name": to_name,
    }  # fmt: skip
