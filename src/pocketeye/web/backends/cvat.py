"""Stand in for Nuclio, by which CVAT finds and calls its functions: an interactor and a tracker.

The addresses and fields are those that CVAT's server asks (``LambdaGateway`` and ``LambdaFunction``,
invoked through the dashboard or directly) and its own functions answer with.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.routing import Route

from pocketeye.data.labelled.objects import clipped_box
from pocketeye.errors import InvalidValue
from pocketeye.tracking.video.session import Session
from pocketeye.web.backends.endpoints import Endpoints, items, numbers
from pocketeye.web.backends.images import decoded, from_base64
from pocketeye.web.backends.model import BackendModel, Clicks
from pocketeye.web.backends.sessions import Sessions

_FUNCTION = "x-nuclio-function-name"
_MOST_SHAPES = 100  # objects in one request


def cvat_routes(model: BackendModel, port: int) -> list[Route]:
    """Return the routes of a Nuclio with two functions, which ``port`` calls directly."""
    endpoints = Endpoints(failure_status=500)  # what CVAT's own functions answer
    tracker = CvatTracker(model)
    known = _functions(model.name, port)
    interactor_name, tracker_name = known

    def one(request: Request) -> Any:
        name = request.path_params["name"]
        if name not in known:
            raise InvalidValue(f"there is no function {name!r:.80}")
        return known[name]

    def invoke(data: Mapping[str, Any], request: Request) -> Any:
        name = request.headers.get(_FUNCTION)
        if name is None:  # called directly: the fields tell which
            name = tracker_name if "shapes" in data else interactor_name
        if name not in known:
            raise InvalidValue(f"there is no function {name!r:.80}")
        return tracker.answer(data) if name == tracker_name else _interact(model, data)

    return [
        endpoints.get("/api/functions", lambda _: known),
        endpoints.get("/api/functions/{name}", one),
        endpoints.post("/api/function_invocations", invoke),
        endpoints.post("/", invoke),
    ]


def _functions(name: str, port: int) -> dict[str, Any]:
    """Return what Nuclio says of functions; ids are of letters that its names have."""
    plain = "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-") or "tracker"

    def function(suffix: str, title: str, **annotations: Any) -> tuple[str, dict[str, Any]]:
        number = f"pocketeye-{plain}{suffix}".replace("pocketeye-pocketeye-", "pocketeye-")
        said = {"name": f"{title} ({name})", "framework": "onnx", "spec": "", **annotations}
        return number, {
            "metadata": {"name": number, "annotations": said, "labels": {}},
            "spec": {"description": f"{title} by {name}"},
            "status": {"state": "ready", "httpPort": port},
        }

    return dict(
        [
            function(
                "", "Segment by clicks", type="interactor", version="2", min_pos_points="0",
                min_neg_points="0", startswith_box_optional="true",
                help_message="Click on the object, or draw a box round it; right clicks lie beside it",
            ),
            function("-tracker", "Track boxes", type="tracker"),
        ]
    )  # fmt: skip


def _interact(model: BackendModel, data: Mapping[str, Any]) -> Any:
    """Return the mask of what was clicked on: rows of 0 and 1."""
    inside = [numbers(p, 2, "a point") for p in items(data.get("pos_points"), "pos_points")]
    beside = [numbers(p, 2, "a point") for p in items(data.get("neg_points"), "neg_points")]
    corners = [numbers(p, 2, "a corner") for p in items(data.get("obj_bbox"), "obj_bbox", 2)]
    boxes = [(*corners[0], *corners[1])] if len(corners) == 2 else []
    clicks = Clicks(
        points=[(x, y) for x, y in (*inside, *beside)],
        labels=[1] * len(inside) + [0] * len(beside),
        boxes=[(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes],
    )
    found = model.segment(from_base64(data.get("image")), clicks)
    assert found.masks is not None
    return {"mask": found.masks[0].dense().astype(np.uint8).tolist()}


class CvatTracker:
    """Follow boxes from request to request; CVAT hands back the states it was given.

    A state names a session here and an object in it. Where the session is gone, the object is taken up
    anew from its last box.
    """

    def __init__(self, model: BackendModel) -> None:
        self._model = model
        self._sessions: Sessions[Session] = Sessions()
        self._turn = threading.Lock()

    def answer(self, data: Mapping[str, Any]) -> Any:
        """Return the box of each object in the image, and states for the next request."""
        shapes = [_box(each) for each in items(data.get("shapes"), "shapes", _MOST_SHAPES)]
        states = items(data.get("states"), "states", _MOST_SHAPES)
        states += [None] * (len(shapes) - len(states))
        pixels = decoded(from_base64(data.get("image")))
        # One at a time: two requests must not push frames into one session.
        with self._turn, self._model.lock:
            known, anew = self._followed(states[: len(shapes)], pixels)
            started = self._started(anew, shapes, pixels)
        places = {**known, **started}
        return {
            "shapes": [list(places[n][0] or shapes[n]) for n in range(len(shapes))],
            "states": [places[n][1] for n in range(len(shapes))],
        }

    def _followed(
        self, states: Sequence[Any], pixels: np.ndarray
    ) -> tuple[dict[int, tuple[Any, Any]], list[int]]:
        """Return box and state of the objects whose sessions are here, and which begin anew."""
        found: dict[int, tuple[Any, Any]] = {}
        anew: list[int] = []
        by_session: dict[str, list[int]] = {}
        for n, state in enumerate(states):
            name = state.get("session") if isinstance(state, Mapping) else None
            by_session.setdefault(name if isinstance(name, str) else "", []).append(n)
        for name, members in by_session.items():
            try:
                session = self._sessions.get(name)
                boxes = _boxes(session.push(pixels))
            except InvalidValue:  # gone, or frames of another size
                anew += members
                continue
            for n in members:
                found[n] = boxes.get(states[n].get("object")), states[n]
        return found, anew

    def _started(
        self, members: Sequence[int], shapes: Sequence[Any], pixels: np.ndarray
    ) -> dict[int, tuple[Any, Any]]:
        """Open a session with the objects that begin in this image."""
        if not members:
            return {}
        session = self._model.tracker.open(None)
        session.push(pixels)
        height, width = pixels.shape[:2]
        for number, n in enumerate(members, 1):
            session.add(number, box=clipped_box(shapes[n], (width, height)))
        name = self._sessions.keep(session)
        # In its first image a box is what the person drew.
        return {
            n: (shapes[n], {"session": name, "object": number})
            for number, n in enumerate(members, 1)
        }


def _box(shape: Any) -> tuple[float, float, float, float]:
    """Return the box round the points of a shape, x0, y0, x1, y1, x2 ….

    Raises:
        InvalidValue: no points.
    """
    count = len(shape) if isinstance(shape, list) else 0
    flat = numbers(shape, max(4, count - count % 2), "a shape")
    return min(flat[::2]), min(flat[1::2]), max(flat[::2]), max(flat[1::2])


def _boxes(found: Any) -> dict[int, tuple[float, ...]]:
    """Return the box of each object that is in a frame, by its id."""
    rows = found.table()
    return {
        row["id"]: (row["x"], row["y"], row["x"] + row["width"], row["y"] + row["height"])
        for row in rows
        if row["area"]
    }
