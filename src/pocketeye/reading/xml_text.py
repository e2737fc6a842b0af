"""Parse XML of anyone: no entities, no files from elsewhere, bounded in depth and elements."""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

MOST_XML_DEPTH = 64
"""Elements inside each other; annotations of the field have 6."""
MOST_ELEMENTS = 20_000_000
"""CVAT writes one for each object of each frame: 20 objects in ten hours of video are 18 million."""


def parse_xml(data: bytes) -> Element:
    """Parse XML into a tree of elements.

    Entities are refused where they are declared, so that none can unfold to gigabytes or name a file;
    a DTD that the text points to is not loaded.

    Raises:
        ValueError: no XML, an encoding that is unknown, an entity, or beyond the limits.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()
    depth = count = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count
        depth, count = depth + 1, count + 1
        if depth > MOST_XML_DEPTH:
            raise ValueError(f"it is nested deeper than {MOST_XML_DEPTH}")
        if count > MOST_ELEMENTS:
            raise ValueError(f"it has more than {MOST_ELEMENTS:,} elements")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def declared(name: str, *_: Any) -> None:
        raise ValueError(f"it declares the entity {name!r:.60}, and entities are not read")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = declared
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(str(error)) from error
    return builder.close()
