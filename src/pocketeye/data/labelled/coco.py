"""Read COCO's json as frames of a video or as images, and write images.

Sets are read by ``data.detection.coco``; what writes frames of a video is
:class:`pocketeye.tracking.io.write_coco.CocoFile`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pocketeye.data.files import Problems
from pocketeye.data.files.annotations.coco_json import said_size
from pocketeye.data.files.annotations.shapes import flaw
from pocketeye.data.labelled.objects import (
    NAMELESS,
    LabelledFrame,
    LabelledObject,
    Size,
    finite,
    numbered,
)
from pocketeye.results import CompactMask


def is_coco(content: Any) -> bool:
    """Tell whether JSON is COCO's."""
    return isinstance(content, Mapping) and isinstance(content.get("images"), list)


def read_coco_frames(content: Mapping[str, Any], problems: Problems) -> Iterator[LabelledFrame]:
    """Yield the images of a json, as ``annotations.coco_json.read_coco`` read it.

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


# --- writing --------------------------------------------------------------------------------------


def coco_image(frame: LabelledFrame, number: int) -> dict[str, Any]:
    """Return the row of ``images`` of one image."""
    width, height = frame.with_size()
    return {"id": number, "file_name": frame.name, "width": width, "height": height}


def coco_annotations(
    frame: LabelledFrame, image_id: int, categories: dict[str, int], first_id: int
) -> list[dict[str, Any]]:
    """Return the rows of ``annotations`` of one image; masks are run lengths.

    Args:
        frame: the image.
        image_id: its id.
        categories: ids by name; names that are new are added.
        first_id: of the annotations.
    """
    rows: list[dict[str, Any]] = []
    for each in frame.objects:
        box = each.bounds()
        if box is None:
            continue
        x0, y0, x1, y1 = box
        label = each.label or NAMELESS
        row: dict[str, Any] = {
            "id": first_id + len(rows), "image_id": image_id,
            "category_id": categories.setdefault(label, max(categories.values(), default=0) + 1),
            "bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0,
        }  # fmt: skip
        filled = each.filled(frame.with_size())
        if filled is not None:
            outline = filled.to_rle() if each.mask is not None else list(map(list, each.polygons))
            row |= {"segmentation": outline, "area": filled.area}
        if each.score is not None:
            row["score"] = round(each.score, 6)
        rows.append(row)
    return rows
