"""Read and write one page of Pascal VOC's XML; sets of them are read by ``data.detection.voc``."""

from __future__ import annotations

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pocketeye.data.files import Problems
from pocketeye.data.labelled.objects import (
    NAMELESS,
    LabelledFrame,
    LabelledObject,
    finite,
    number_text,
    numbered,
    side,
    xml_text,
)

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def is_voc(top: Element) -> bool:
    """Tell whether XML is a page of VOC."""
    return top.tag == "annotation"


def read_voc(top: Element, problems: Problems, frame: int = 0) -> LabelledFrame:
    """Read one image; VOC counts pixels from 1, and its last ones are inside."""
    name = (top.findtext("filename") or "").strip()
    said = {key: top.findtext(f"size/{key}") for key in ("width", "height")}
    width, height = side(said, "width"), side(said, "height")
    objects = []
    for place, item in enumerate(top.findall("object"), 1):
        try:
            x0, y0, x1, y1 = (finite(item.findtext(f"bndbox/{key}")) for key in _CORNERS)
        except ValueError as error:
            problems.add(name or f"frame {frame}", f"object {place} has {error}: left out")
            continue
        if x1 < x0 or y1 < y0:
            problems.add(name or f"frame {frame}", f"object {place} has no area: left out")
            continue
        label, box = (item.findtext("name") or "").strip(), (x0 - 1, y0 - 1, x1, y1)
        said_id = item.findtext("track_id") or "0"
        number = int(said_id) if said_id.isdecimal() and len(said_id) < 10 else 0
        objects.append(LabelledObject(object_id=number, label=label, box=box))
    size = (width, height) if width and height else None
    return LabelledFrame(frame=frame, name=name, size=size, objects=numbered(objects))


def write_voc(frame: LabelledFrame, image: str, *, segmented: bool = False) -> str:
    """Return the XML of one image; ids stand in ``track_id``, which readers of VOC pass over."""
    width, height = frame.with_size()
    top = Element("annotation")
    _add(top, "folder", "JPEGImages")
    _add(top, "filename", image)
    size = SubElement(top, "size")
    for key, pixels in (("width", width), ("height", height), ("depth", 3)):
        _add(size, key, str(pixels))
    _add(top, "segmented", str(int(segmented)))
    for each in frame.objects:
        box = each.bounds()
        if box is None:
            continue
        item = SubElement(top, "object")
        for key, text in (("name", voc_name(each.label)), ("pose", "Unspecified"),
                          ("truncated", "0"), ("difficult", "0")):  # fmt: skip
            _add(item, key, text)
        _add(item, "track_id", str(each.object_id))
        corners = SubElement(item, "bndbox")
        for key, value, shift in zip(_CORNERS, box, (1, 1, 0, 0), strict=True):
            _add(corners, key, number_text(value + shift))
    indent(top)
    return tostring(top, encoding="unicode") + "\n"


def voc_name(label: str) -> str:
    """Return a class as VOC can have it: on one line, as lists of classes have lines."""
    return " ".join(label.split()) or NAMELESS


def _add(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = xml_text(text)
