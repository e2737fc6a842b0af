"""Read and write Label Studio's JSON: images (boxes, polygons, brushes, keypoints, choices), videos.

The fields are those of Label Studio's manual, "Export annotations" and the tags ``RectangleLabels``,
``PolygonLabels``, ``BrushLabels``, ``KeyPointLabels`` and ``VideoRectangle``; places are percent of the
image, frames of a video count from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from pocketeye.data.files import SUFFIXES, Problems
from pocketeye.data.labelled.brush import read_brush, write_brush
from pocketeye.data.labelled.objects import (
    NAMELESS,
    LabelledFrame,
    LabelledObject,
    Size,
    finite,
    numbered,
    pairs_of,
    side,
)
from pocketeye.data.labelled.outline import outline_of
from pocketeye.data.labelled.tracks import MOST_FRAMES, Track, frames_of

_VIDEO = "videorectangle"
_UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # which Label Studio puts before the names of uploads
_KINDS = ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "rectangle", "polygon",
          "brush", "keypoint")  # fmt: skip


def is_label_studio(content: Any) -> bool:
    """Tell whether JSON is Label Studio's: a list of tasks, or one task."""
    first = content[0] if isinstance(content, list) and content else content
    return isinstance(first, Mapping) and any(
        isinstance(first.get(key), list) for key in ("annotations", "predictions", "completions")
    ) and "images" not in first  # fmt: skip


def read_label_studio(content: Any, problems: Problems) -> Iterator[LabelledFrame]:
    """Yield the images of all tasks, or the frames of the first task with a video.

    Of a task's annotations the first counts that was not cancelled, else its first prediction.
    """
    tasks = content if isinstance(content, list) else [content]
    for place, task in enumerate(tasks):
        if not isinstance(task, Mapping):
            problems.add(f"task {place}", "no object: left out")
            continue
        regions = _regions(task)
        videos = [region for region in regions if region.get("type") == _VIDEO]
        if videos:
            yield from _video(videos, problems)
            return
        yield _image(task, regions, place, problems)


def _regions(task: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for key in ("annotations", "completions", "predictions"):
        made = task.get(key)
        for each in made if isinstance(made, list) else []:
            if not isinstance(each, Mapping) or each.get("was_cancelled"):
                continue
            result = each.get("result")
            if isinstance(result, list):
                return [region for region in result if isinstance(region, Mapping)]
    return []


def _image(
    task: Mapping[str, Any], regions: Sequence[Mapping[str, Any]], place: int, problems: Problems
) -> LabelledFrame:
    name = _image_name(task.get("data"))
    sizes = {_size(region) for region in regions} - {None}
    size = sizes.pop() if len(sizes) == 1 else None
    tags = [tag for region in regions for tag in _choices(region)]
    objects = []
    for region in regions:
        if region.get("type") not in _KINDS:
            continue
        try:
            objects.append(_object(region))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            problems.add(
                name or f"task {place}", f"a region that cannot be used ({error}): left out"
            )
    return LabelledFrame(
        frame=place, name=name, size=size, objects=numbered(objects), tags=tuple(tags)
    )


def image_paths(value: str) -> tuple[str, ...]:
    """Return the paths of files that the value of a task may mean, the likeliest first.

    An uploaded file is ``/data/upload/1/abcdef12-NAME``, one of a local storage
    ``/data/local-files/?d=FOLDER/NAME``; others are addresses, or paths.
    """
    try:
        parts = urlsplit(value)
    except ValueError:
        return (value,)
    named = parse_qs(parts.query).get("d", [""])[0]
    whole = named or (unquote(parts.path) if parts.scheme or "%" in parts.path else value)
    before, slash, last = whole.rpartition("/")
    plain = _UPLOADED.sub("", last)
    return (whole,) if plain == last else (whole, f"{before}{slash}{plain}")


def _image_name(data: Any) -> str:
    """Return the text of a task's data that names its image: the first that ends like one."""
    texts = [v for v in data.values() if isinstance(v, str)] if isinstance(data, Mapping) else []
    images = (t for t in texts if PurePosixPath(image_paths(t)[0]).suffix.lower() in SUFFIXES)
    return next(images, texts[0] if texts else "")


def _choices(region: Mapping[str, Any]) -> list[str]:
    """Return the classes of the whole image that a region says."""
    value = region.get("value")
    if region.get("type") != "choices" or not isinstance(value, Mapping):
        return []
    said = value.get("choices")
    return [each for each in said if isinstance(each, str)] if isinstance(said, list) else []


def _size(region: Mapping[str, Any]) -> Size | None:
    width, height = side(region, "original_width"), side(region, "original_height")
    return (width, height) if width and height else None


def _label(value: Mapping[str, Any]) -> str:
    for key in ("rectanglelabels", "polygonlabels", "brushlabels", "keypointlabels", "labels"):
        names = value.get(key)
        if isinstance(names, list) and names and isinstance(names[0], str):
            return names[0]
    return ""


def _object(region: Mapping[str, Any]) -> LabelledObject:
    """Raises ValueError for a region that is none."""
    size, value = _size(region), region.get("value")
    if size is None or not isinstance(value, Mapping):
        raise ValueError("no size of the image, or no value")
    said: dict[str, Any] = {"object_id": 0, "label": _label(value)}
    sure = region.get("score")
    said["score"] = float(sure) if isinstance(sure, int | float) and 0 <= sure <= 1 else None
    kind = str(region["type"]).removesuffix("labels")
    scale = (size[0] / 100, size[1] / 100)
    if kind == "rectangle":
        return LabelledObject(**said, **_rectangle(value, size))
    if kind == "keypoint":
        x, y = finite(value.get("x")) * scale[0], finite(value.get("y")) * scale[1]
        return LabelledObject(**said, points=((x, y),))
    if kind == "brush":
        return LabelledObject(**said, mask=read_brush(value.get("rle"), size))
    points = pairs_of(value.get("points"))
    if len(points) < 6:
        raise ValueError("a polygon of fewer than three points")
    polygon = tuple(number * scale[place % 2] for place, number in enumerate(points))
    return LabelledObject(**said, polygons=(polygon,))


def _rectangle(value: Mapping[str, Any], size: Size) -> dict[str, Any]:
    """Return a box, or the polygon of one that is turned about its upper left corner."""
    left, top, width, height = (finite(value.get(key)) for key in ("x", "y", "width", "height"))
    x, y, w, h = (
        share * size[place % 2] / 100 for place, share in enumerate((left, top, width, height))
    )
    turn = np.deg2rad(finite(value.get("rotation") or 0))
    if w <= 0 or h <= 0:
        raise ValueError("a box without area")
    if not turn:
        return {"box": (x, y, x + w, y + h)}
    across, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    start = np.array([x, y])
    corners = (start, start + w * across, start + w * across + h * down, start + h * down)
    return {"polygons": (tuple(np.concatenate(corners).tolist()),)}


def _video(regions: Sequence[Mapping[str, Any]], problems: Problems) -> Iterator[LabelledFrame]:
    size = next((found for found in map(_size, regions) if found), None)
    tracks, length = [], 0
    for number, region in enumerate(regions, 1):
        try:
            track, count = _track(region, number, size)
        except (ValueError, TypeError) as error:
            problems.add(f"region {region.get('id')}", f"cannot be used ({error}): left out")
            continue
        tracks.append(track)
        length = max(length, count)
    yield from frames_of(tracks, size, length)


def _track(region: Mapping[str, Any], number: int, size: Size | None) -> tuple[Track, int]:
    """Return an object and how many frames the video has; raises ValueError for no region."""
    value = region.get("value")
    if (
        size is None
        or not isinstance(value, Mapping)
        or not isinstance(value.get("sequence"), list)
    ):
        raise ValueError("no size of the video, or no sequence")
    count, label, track = value.get("framesCount"), _label(value), Track()
    for step in value["sequence"]:
        frame, enabled, box = _step(step, size)
        track.shown[frame] = LabelledObject(object_id=number, label=label, box=box)
        # A place that is not enabled shows the box in its frame, and in none after that.
        if not enabled:
            track.gone.add(frame + 1)
    return track, count if isinstance(count, int) and 0 < count < MOST_FRAMES else 0


def _step(step: Any, size: Size) -> tuple[int, bool, tuple[float, float, float, float]]:
    """Raises ValueError for a place that is none."""
    if not isinstance(step, Mapping):
        raise ValueError("a place that is no object")
    frame = int(finite(step.get("frame"))) - 1
    if not 0 <= frame < MOST_FRAMES:
        raise ValueError("a frame below 1")
    found = _rectangle({**step, "rotation": 0}, size)["box"]
    return frame, step.get("enabled", True) is not False, found


# --- writing --------------------------------------------------------------------------------------


def image_task(frame: LabelledFrame) -> dict[str, Any]:
    """Return a task with a prediction, which Label Studio imports: polygons of masks, else boxes."""
    size = frame.with_size()
    regions = []
    for each in frame.objects:
        polygon = outline_of(each.mask) if each.mask is not None else ()
        polygon = polygon or (each.polygons[0] if each.polygons else ())
        number = f"{frame.frame}-{each.object_id}"
        if polygon:
            value = {"points": percent_points(polygon, size)}
            regions.append(image_region(each, size, "polygonlabels", value, number))
        elif each.bounds() is not None:
            regions.append(
                image_region(each, size, "rectanglelabels", percents(each, size), number)
            )
    regions += [
        {
            "id": f"{frame.frame}-{place}", "type": "choices", "from_name": "choice",
            "to_name": "image", "value": {"choices": [tag]},
        }
        for place, tag in enumerate(frame.tags, len(frame.objects) + 1)
    ]  # fmt: skip
    return {
        "data": {"image": frame.name},
        "predictions": [{"model_version": "pocketeye", "result": regions}],
    }


def percent_points(polygon: Sequence[float], size: Size) -> list[list[float]]:
    """Return a polygon x0, y0, x1, y1 … in pixels as Label Studio's points."""
    shares = [round(100 * v / size[place % 2], 6) for place, v in enumerate(polygon)]
    return [list(pair) for pair in zip(shares[::2], shares[1::2], strict=True)]


def image_region(
    each: LabelledObject, size: Size, kind: str, value: Mapping[str, Any], number: str,
    names: tuple[str, str] = ("label", "image"),
) -> dict[str, Any]:  # fmt: skip
    """Return a region of an image.

    Args:
        each: the object; its class and score are written.
        size: (width, height) of the image.
        kind: ``rectanglelabels``, ``polygonlabels`` or ``brushlabels``.
        value: where it is, in Label Studio's terms.
        number: id of the region.
        names: of the tags in the labelling configuration: what labels, and what is labelled.
    """
    return {
        "id": number, "type": kind, "from_name": names[0], "to_name": names[1],
        "image_rotation": 0, **_sides(size), "value": {**value, kind: [each.label or NAMELESS]},
        **({} if each.score is None else {"score": round(each.score, 6)}),
    }  # fmt: skip


def brush_value(each: LabelledObject, size: Size) -> dict[str, Any]:
    """Return the pixels of an object as the value of a brush."""
    filled = each.filled(size)
    assert filled is not None, "a brush needs pixels"
    return {"format": "rle", "rle": write_brush(filled)}


def _sides(size: Size) -> dict[str, int]:
    return {"original_width": size[0], "original_height": size[1]}


def percents(each: LabelledObject, size: Size) -> dict[str, Any]:
    x0, y0, x1, y1 = each.bounds() or (0.0, 0.0, 0.0, 0.0)
    numbers = (x0 / size[0], y0 / size[1], (x1 - x0) / size[0], (y1 - y0) / size[1])
    keys = ("x", "y", "width", "height")
    said: dict[str, Any] = {k: round(100 * v, 6) for k, v in zip(keys, numbers, strict=True)}
    return {**said, "rotation": 0}


def video_step(
    each: LabelledObject, frame: int, size: Size, *, fps: float | None
) -> dict[str, Any]:
    """Return where an object is in a frame that counts from 0."""
    time = {} if not fps else {"time": round(frame / fps, 6)}
    return {"frame": frame + 1, "enabled": True, **percents(each, size), **time}


def video_region(number: int, label: str, num_frames: int, size: Size, fps: float | None) -> Any:
    """Return the region of an object, whose ``sequence`` is left empty."""
    duration = {} if not fps else {"duration": round(num_frames / fps, 6)}
    return {
        "id": f"object-{number}", "type": _VIDEO, "from_name": "box", "to_name": "video",
        **_sides(size),
        "value": {"framesCount": num_frames, **duration, "sequence": [], "labels": [label or NAMELESS]},
    }  # fmt: skip
