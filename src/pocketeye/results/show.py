"""Show an image on the screen, in the viewer that the desktop opens images with."""

from __future__ import annotations

import base64
import io
import os
import sys

from PIL import Image, ImageShow

from pocketeye.errors import UserError

_REMEDY = "write the image with .save('result.png') and look at it there"


def show_image(image: Image.Image, title: str | None = None) -> None:
    """Open ``image`` in the default viewer and come back at once; Pillow finds the viewer.

    Raises:
        UserError: no display (a server, a container, a session over SSH), or no viewer on it.
    """
    # Without one, xdg-open and its like start, and fail unseen.
    if not _has_display():
        raise UserError(f"this machine has no display to show an image on: {_REMEDY}")
    if not ImageShow.show(image, title):
        raise UserError(f"no image viewer is installed here: {_REMEDY}")


def _has_display() -> bool:
    """Tell whether there is a display: macOS and Windows have one, X11 and Wayland name theirs."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


_HTML_SIDE = 640  # pixels of the longer side: a notebook keeps every image in its file


def html_image(image: Image.Image | None) -> str:
    """Return an image as HTML that needs no file; an empty text for None."""
    if image is None:
        return ""
    small = image.convert("RGB")
    small.thumbnail((_HTML_SIDE, _HTML_SIDE))
    stored = io.BytesIO()
    small.save(stored, "jpeg", quality=85)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(stored.getvalue()).decode()}">'
