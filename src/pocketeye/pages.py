"""HTML pages that work offline: one look, images inside the file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """Fill ``templates/TEMPLATE``; a name the template uses and ``values`` lack is our mistake."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template).render(**values)


def embedded(path: Path) -> str:
    """Encode an image or video file as the text of a ``data:`` address' payload."""
    return base64.b64encode(path.read_bytes()).decode("ascii")
