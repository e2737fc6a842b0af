"""Make the application that stands behind an annotation tool."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from starlette.applications import Starlette

from pocketeye.errors import MissingFile, unknown
from pocketeye.serving.files import application
from pocketeye.tracking.video.tracker import Tracker
from pocketeye.web.backends.cvat import cvat_routes
from pocketeye.web.backends.images import ImageSource
from pocketeye.web.backends.label_studio import label_studio_routes
from pocketeye.web.backends.model import BackendModel
from pocketeye.web.backends.x_anylabeling import x_anylabeling_routes

Backend = Literal["label-studio", "cvat", "x-anylabeling"]
API_KEY = "LABEL_STUDIO_API_KEY"
"""Variable of the environment with the key that Label Studio asks for before it gives an image."""


def backend_app(
    backend: Backend, name: str, tracker: Tracker[Any], *, images: Path | None = None,
    fetch_from: Sequence[str] = (), port: int = 0,
) -> Starlette:  # fmt: skip
    """Make the application of one tool: its addresses, and nothing else.

    Args:
        backend: the tool.
        name: what the network is called.
        tracker: it.
        images: the folder in which names of Label Studio's tasks are looked for.
        fetch_from: the addresses from which its images are fetched.
        port: on which this will be served, for CVAT.

    Raises:
        MissingFile: no such folder.
        InvalidValue: another tool, or an address that is none.
    """
    if backend not in get_args(Backend):
        raise unknown("backend", backend, get_args(Backend))
    if images is not None and not images.is_dir():
        raise MissingFile(f"there is no folder {images} to look for images in")
    model = BackendModel(name, tracker)
    if backend == "label-studio":
        source = ImageSource(images, fetch_from, os.environ.get(API_KEY))
        return application([*label_studio_routes(model, source)])
    routes = cvat_routes(model, port) if backend == "cvat" else x_anylabeling_routes(model)
    return application([*routes])
