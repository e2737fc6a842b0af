"""Read and write CVAT's XML 1.1: tracks of videos with their interpolation, and images.

The layout is that of CVAT's manual, "CVAT for video 1.1" and "CVAT for images 1.1".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from xml.etree.ElementTree import Element
from xml.sax.saxutils import quoteattr

import numpy as np

from pocketeye.data.files import Problems
from pocketeye.data.labelled.objects import (
    NAMELESS,
    LabelledFrame,
    LabelledObject,
    Size,
    finite,
    number_text,
    numbered,
    side,
    xml_text,
)
from pocketeye.data.labelled.outline import outline_of
from pocketeye.data.labelled.tracks import MOST_FRAMES, Track, frames_of
from pocketeye.errors import InvalidValue
from pocketeye.results import CompactMask

_SHAPES = ("box", "polygon", "points", "mask")


def is_cvat(top: Element) -> bool:
    """Tell whether XML is CVAT's."""
    return top.tag == "annotations"


def read_cvat(top: Element, problems: Problems) -> Iterator[LabelledFrame]:
    """Yield the frames of a video, or the images, in order.

    A track is where :func:`~pocketeye.data.labelled.tracks.frames_of` finds it between its shapes.
    """
    tracks = top.findall("track")
    if tracks:
        yield from _video(top, tracks, problems)
        return
    for place, image in enumerate(top.findall("image")):
        yield _image(image, place, problems)


def _image(image: Element, place: int, problems: Problems) -> LabelledFrame:
    width, height = side(image.attrib, "width"), side(image.attrib, "height")
    size = (width, height) if width and height else None
    name = image.get("name", "")
    tags = tuple(tag.get("label", "") for tag in image.findall("tag"))
    objects = []
    for shape in image:
        if shape.tag not in _SHAPES:
            continue
        group = shape.get("group_id", "0")
        number = int(group) if group.isdecimal() and len(group) < 10 else 0
        try:
            objects.append(_object(shape, number, shape.get("label", ""), size))
        except ValueError as error:
            problems.add(name or f"image {place}", f"a {shape.tag} with {error}: left out")
    return LabelledFrame(
        frame=place, name=name, size=size, objects=numbered(objects), tags=tuple(filter(None, tags))
    )


def cvat_subsets(top: Element) -> dict[str, str]:
    """Return the part of the set that each image is in, by its name, where CVAT says it."""
    images = top.findall("image")
    return {i.get("name", ""): i.get("subset", "").lower() for i in images if i.get("subset")}


def cvat_labels(top: Element) -> list[str]:
    """Return the classes of a task or project in its order; none where the file does not say them."""
    labels = top.findall("./meta/*/labels/label")
    # Parts of skeletons stand in the list too, below their whole.
    names = [label.findtext("name") or "" for label in labels if not label.findtext("parent")]
    return [name.strip() for name in names if name.strip()]


def _video(top: Element, tracks: list[Element], problems: Problems) -> Iterator[LabelledFrame]:
    size, length = _said(top.find("meta"))
    read = [_read_track(track, n, size, problems) for n, track in enumerate(tracks, 1)]
    yield from frames_of(read, size, length)


def _said(meta: Element | None) -> tuple[Size | None, int]:
    """Return the size of the frames and how many there are; None and 0 where the file is silent."""
    if meta is None:
        return None, 0
    original = meta.find(".//original_size")
    said = {child.tag: child.text for child in original} if original is not None else {}
    width, height = side(said, "width"), side(said, "height")
    length = (meta.findtext("./task/size") or meta.findtext("./job/size") or "").strip()
    count = int(length) if length.isdecimal() and len(length) < 10 else 0
    return (width, height) if width and height else None, count


def _read_track(track: Element, number: int, size: Size | None, problems: Problems) -> Track:
    found, label = Track(), track.get("label", "")
    for shape in track:
        if shape.tag not in _SHAPES:
            continue
        said = shape.get("frame", "")
        try:
            if not said.isdecimal() or len(said) > 9 or int(said) > MOST_FRAMES:
                raise ValueError(f"no frame ({said!r:.20})")
            if shape.get("outside") == "1":
                found.gone.add(int(said))
            else:
                found.shown[int(said)] = _object(shape, number, label, size)
        except ValueError as error:
            problems.add(f"track {track.get('id')}", f"a {shape.tag} with {error}: left out")
    return found


def _object(shape: Element, number: int, label: str, size: Size | None) -> LabelledObject:
    """Raises ValueError for a shape that is none."""
    if shape.tag == "box":
        x0, y0, x1, y1 = (finite(shape.get(key)) for key in ("xtl", "ytl", "xbr", "ybr"))
        if x1 <= x0 or y1 <= y0:
            raise ValueError("no area")
        return LabelledObject(object_id=number, label=label, box=(x0, y0, x1, y1))
    if shape.tag == "mask":
        return LabelledObject(object_id=number, label=label, mask=_mask(shape, size))
    texts = [pair.split(",") for pair in shape.get("points", "").split(";") if pair]
    pairs = [(finite(x), finite(y)) for x, y in (t if len(t) == 2 else ("", "") for t in texts)]
    if shape.tag == "points":
        return LabelledObject(object_id=number, label=label, points=tuple(pairs))
    if len(pairs) < 3:
        raise ValueError("fewer than three points")
    flat = tuple(value for pair in pairs for value in pair)
    return LabelledObject(object_id=number, label=label, polygons=(flat,))


def _mask(shape: Element, size: Size | None) -> CompactMask:
    """Return a mask: runs of its box row by row, background first, up to the last filled pixel."""
    if size is None:
        raise ValueError("no size of its image")
    left, top, width, height = (
        int(finite(shape.get(key))) for key in ("left", "top", "width", "height")
    )
    runs = [int(run) for run in shape.get("rle", "").split(",") if run.strip()]
    inside = 0 <= left < left + width <= size[0] and 0 <= top < top + height <= size[1]
    if not inside or min(runs, default=-1) < 0 or sum(runs) > width * height:
        raise ValueError("runs that do not fit its box or its image")
    row = np.zeros(width * height, bool)
    filled = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    row[: len(filled)] = filled
    mask = np.zeros((size[1], size[0]), bool)
    mask[top : top + height, left : left + width] = row.reshape(height, width)
    return CompactMask.from_dense(mask)


# --- writing --------------------------------------------------------------------------------------


def shape_line(each: LabelledObject, frame: int, *, outside: bool = False) -> str:
    """Return the element of a track in one frame; a polygon where the object has a mask."""
    common = {
        "frame": frame, "keyframe": 1, "outside": int(outside), "occluded": 0, "z_order": 0,
    }  # fmt: skip
    tag, said = _outline(each)
    return f"    <{tag}{_attributes({**common, **said})}></{tag}>\n"


def _outline(each: LabelledObject) -> tuple[str, dict[str, object]]:
    polygon = each.polygons[0] if len(each.polygons) == 1 else ()
    if each.mask is not None:
        polygon = outline_of(each.mask)
    if polygon:
        texts = [number_text(value) for value in polygon]
        joined = ";".join(f"{x},{y}" for x, y in zip(texts[::2], texts[1::2], strict=True))
        return "polygon", {"points": joined}
    return "box", _box(each)


def _box(each: LabelledObject) -> dict[str, object]:
    box = each.bounds()
    if box is None:
        raise InvalidValue(f"object {each.object_id} has no box, which CVAT's tracks need")
    return dict(zip(("xtl", "ytl", "xbr", "ybr"), map(number_text, box), strict=True))


def video_head(name: str, num_frames: int, size: Size, labels: Iterable[str]) -> str:
    """Return what stands before the tracks."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n'
        f"    <task>\n      <name>{_text(name)}</name>\n      <size>{num_frames}</size>\n"
        "      <mode>interpolation</mode>\n      <start_frame>0</start_frame>\n"
        f"      <stop_frame>{num_frames - 1}</stop_frame>\n"
        f"      <labels>\n{_known(labels)}      </labels>\n"
        f"      <original_size><width>{size[0]}</width><height>{size[1]}</height></original_size>\n"
        f"    </task>\n  </meta>\n"
    )


def _known(labels: Iterable[str]) -> str:
    return "".join(
        f"        <label><name>{_text(label)}</name><attributes></attributes></label>\n"
        for label in labels
    )


def track_head(number: int, label: str) -> str:
    """Return the line that opens a track; numbers count from 0."""
    return f'  <track id="{number}" label={quoteattr(xml_text(label or NAMELESS))} source="auto">\n'


TRACK_END, VIDEO_END = "  </track>\n", "</annotations>\n"


def images_head(labels: Iterable[str]) -> str:
    """Return what stands before the images."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n'
        f"    <task>\n      <mode>annotation</mode>\n      <labels>\n{_known(labels)}      </labels>\n"
        "    </task>\n  </meta>\n"
    )


def image_element(frame: LabelledFrame, place: int) -> str:
    """Return the element of one image: masks as they are, ids as groups, classes of it as tags."""
    width, height = frame.with_size()
    head = {"id": place, "name": frame.name, "width": width, "height": height}
    tags = "".join(
        f"    <tag{_attributes({'label': tag, 'source': 'auto'})}></tag>\n" for tag in frame.tags
    )
    shapes = "".join(map(_image_shape, frame.objects))
    return f"  <image{_attributes(head)}>\n{tags}{shapes}  </image>\n"


def _image_shape(each: LabelledObject) -> str:
    common = {
        "label": each.label or NAMELESS, "source": "auto", "occluded": 0, "z_order": 0,
        "group_id": each.object_id,
    }  # fmt: skip
    if each.mask is None:
        tag, said = _outline(each)
    else:
        x0, y0, x1, y1 = each.mask.box
        runs = ", ".join(map(str, _runs(each.mask.crop().ravel())))
        said = {"rle": runs, "left": x0, "top": y0, "width": x1 - x0, "height": y1 - y0}
        tag = "mask"
    return f"    <{tag}{_attributes({**common, **said})}></{tag}>\n"


def _runs(row: np.ndarray) -> list[int]:
    """Return the lengths of runs, background first."""
    edges = np.flatnonzero(np.diff(row.astype(np.int8), prepend=0)).tolist()
    return [int(run) for run in np.diff([0, *edges, len(row)])]


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(f" {key}={quoteattr(xml_text(str(value)))}" for key, value in values.items())


def _text(value: str) -> str:
    return xml_text(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
