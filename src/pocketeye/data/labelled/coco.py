"""Read COCO's json as frames of a video or as images; sets are read by ``data.detection.coco``.

What writes it frame by frame is :class:`pocketeye.tracking.io.write_coco.CocoFile`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pocketeye.data.files import Problems
from pocketeye.data.files.annotations.coco_json import said_size
from pocketeye.data.files.annotations.shapes import flaw
from pocketeye.data.labelled.objects import LabelledFrame, LabelledObject, Size, finite, numbered
from pocketeye.results import CompactMask


def is_coco(content: Any) -> bool:
    """Tell whether JSON is COCO's."""
    return isinstance(content, Mapping) and isinstance(content.get("images"), list)


def read_coco_frames(content: Mapping[str, Any], problems: Problems) -> Iterator[LabelledFrame]:
    """Yield the images of a json that :func:`~pocketeye.data.files.annotations.coco_json.read_coco` read.

    Their numbers are ``frame_id`` where all have one that differs, else their places in the file; ids
    of objects are ``track_id``. Of several videos the first counts.
    """
    categories = content.get("categories")
    names = {
        row.get("id"): str(row.get("name"))
        for row in (categories if isinstance(categories, list) else ())
        if isinstance(row, Mapping) and isinstance(row.get("id"), int | str)
    }
    images = [row for row in content["images"] if isinstance(row.get("id"), int | str)]
    videos = {row.get("video_id") for row in images if isinstance(row.get("video_id"), int | str)}
    if len(videos) > 1:
        first = images[0].get("video_id")
        problems.say(f"{len(videos)} videos in one json: only the first ({first}) is read")
        images = [row for row in images if row.get("video_id") == first]
    numbers = [row.get("frame_id") for row in images]
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or len({*numbers}) < len(numbers):
        numbers = list(range(len(images)))
    rows: dict[Any, list[Mapping[str, Any]]] = {}
    for row in content["annotations"]:
        if isinstance(row.get("image_id"), int | str):
            rows.setdefault(row["image_id"], []).append(row)
    for number, image in sorted(zip(numbers, images, strict=True), key=lambda pair: pair[0]):
        size = said_size(image)
        objects = []
        for row in rows.get(image["id"], ()):
            try:
                objects.append(_object(row, size, names))
            except ValueError as error:
                problems.add(f"annotation {row.get('id')}", f"{error}: left out")
        name = image.get("file_name")
        yield LabelledFrame(
            frame=number, name=name if isinstance(name, str) else "", size=size,
            objects=numbered(objects),
        )  # fmt: skip


def _object(row: Mapping[str, Any], size: Size | None, names: Mapping[Any, str]) -> LabelledObject:
    """Raises ValueError for an annotation without a place."""
    track, outline, box = row.get("track_id"), row.get("segmentation"), row.get("bbox")
    number = track if isinstance(track, int) and not isinstance(track, bool) else 0
    sure = row.get("score")
    kind = row.get("category_id")
    said: dict[str, Any] = {
        "object_id": number if 0 < number < 2**31 else 0,
        "label": names.get(kind, "") if isinstance(kind, int | str) else "",
        "score": float(sure) if isinstance(sure, int | float) and 0 <= sure <= 1 else None,
    }
    if outline:
        if (wrong := flaw(outline, size)) is not None:
            raise ValueError(wrong)
        if not isinstance(outline, Mapping):
            return LabelledObject(**said, polygons=tuple(map(tuple, outline)))
        if size is None:
            raise ValueError("run lengths in an image without a size")
        return LabelledObject(**said, mask=CompactMask.from_rle(outline))
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError("neither box nor outline")
    x, y, width, height = map(finite, box)
    if width <= 0 or height <= 0:
        raise ValueError("a box without area")
    return LabelledObject(**said, box=(x, y, x + width, y + height))
