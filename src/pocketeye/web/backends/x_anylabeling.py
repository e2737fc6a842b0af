"""Answer X-AnyLabeling as its remote server does: models, images, and videos by sessions.

The addresses and fields are those of X-AnyLabeling-Server's ``openapi.json`` and of the client's
``remote_server``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from pocketeye.data.labelled.outline import outline_of
from pocketeye.errors import InvalidValue, UserError
from pocketeye.results import Result
from pocketeye.web.backends.endpoints import Endpoints, fields, items, numbers
from pocketeye.web.backends.images import from_base64
from pocketeye.web.backends.model import BackendModel, Clicks
from pocketeye.web.backends.sessions import Sessions
from pocketeye.web.backends.uploaded import UploadedVideo

_LABEL = "AUTOLABEL_OBJECT"  # which the program asks a name for
_MOST_FRAMES = 20_000
_WIDGETS = (
    "button_add_point", "button_remove_point", "button_add_rect", "button_clear",
    "button_finish_object",
)  # fmt: skip


def x_anylabeling_routes(model: BackendModel) -> list[Route]:
    """Return the routes of a server with two models: for images, and for videos."""
    endpoints, server = Endpoints(_failure, failure_status=200), Server(model)
    return [
        endpoints.get("/health", server.health),
        endpoints.get("/v1/models", lambda _: _success(server.models)),
        endpoints.get("/v1/models/{name}/info", server.info),
        endpoints.post("/v1/predict", server.predict),
        endpoints.post("/v1/video/init", server.open_video),
        endpoints.post("/v1/video/prompt", server.prompt),
        endpoints.post("/v1/video/propagate/stream", server.propagate),
        endpoints.post("/v1/video/cleanup/{name}", server.clean_up),
    ]


class Server:
    """Answer each address; videos are kept as sessions.

    Attributes:
        models: what is said of each, by its name.
    """

    def __init__(self, model: BackendModel) -> None:
        self._model = model
        self._sessions: Sessions[UploadedVideo] = Sessions(most=2)
        still, moving = model.name, f"{model.name}_video"
        widgets = [{"name": name, "value": None} for name in _WIDGETS]
        self.models: dict[str, dict[str, Any]] = {
            name: {
                "display_name": f"pocketeye: {name}", "batch_processing_mode": mode, "params": {},
                "capabilities": {}, "widgets": widgets,
            }
            for name, mode in ((still, None), (moving, "video"))
        }  # fmt: skip

    def health(self, _: Request) -> Any:
        """Say that the server is there."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return {"status": "healthy", "models_loaded": len(self.models), "timestamp": now}

    def info(self, request: Request) -> Any:
        """Say what is known of a model."""
        name = self._known(request.path_params["name"])
        return _success({"model_id": name, **self.models[name]})

    def predict(self, data: Mapping[str, Any], _: Request) -> Any:
        """Outline what is clicked on or boxed in an image."""
        self._known(data.get("model"))
        params = fields(data.get("params") or {}, "params")
        clicks = _clicks(items(params.get("marks"), "marks"))
        shapes: list[dict[str, Any]] = []
        if clicks:
            shapes = _shapes(self._model.segment(from_base64(data.get("image")), clicks))
        return _success({"shapes": shapes, "description": "", "replace": False})

    def open_video(self, data: Mapping[str, Any], _: Request) -> Any:
        """Keep the frames of a video, and name the session."""
        self._known(data.get("model"))
        texts = items(data.get("frames"), "frames", _MOST_FRAMES)
        video = UploadedVideo(self._model, [from_base64(text) for text in texts])
        return _success({"session_id": self._sessions.keep(video), "num_frames": len(texts)})

    def prompt(self, data: Mapping[str, Any], _: Request) -> Any:
        """Outline what is clicked on in a frame, and remember it."""
        if data.get("text_prompt"):
            raise InvalidValue("this network knows no text: give points")
        video = self._sessions.get(data.get("session_id"))
        points = [numbers(p, 2, "a point") for p in items(data.get("points"), "points")]
        labels = [int(v) for v in numbers(data.get("point_labels"), len(points), "point_labels")]
        frame = int(numbers([data.get("frame_index")], 1, "frame_index")[0])
        masks = _shapes(video.prompt(frame, points, labels))
        return _success({"frame_index": frame, "masks": masks, "num_objects": len(masks)})

    def propagate(self, data: Mapping[str, Any], _: Request) -> Any:
        """Track to the end of a video, and send what is found frame by frame."""
        video = self._sessions.get(data.get("session_id"))
        said = data.get("start_frame")
        start = None if said is None else int(numbers([said], 1, "start_frame")[0])
        return StreamingResponse(_events(video, start), media_type="text/event-stream")

    def clean_up(self, _: Mapping[str, Any], request: Request) -> Any:
        """Forget a session."""
        if not self._sessions.drop(request.path_params["name"]):
            raise InvalidValue("there is no such session")
        return _success({"message": "session cleaned up"})

    def _known(self, name: Any) -> str:
        if not isinstance(name, str) or name not in self.models:
            raise InvalidValue(
                f"there is no model {name!r:.80} here, only {', '.join(self.models)}"
            )
        return name


def _success(data: Any) -> Any:
    return {"success": True, "data": data}


def _failure(sentence: str) -> Any:
    return {"success": False, "error": {"code": "REFUSED", "message": sentence}}


def _clicks(marks: Sequence[Any]) -> Clicks:
    points: list[tuple[float, float]] = []
    labels: list[int] = []
    boxes: list[tuple[float, float, float, float]] = []
    for each in marks:
        mark = fields(each, "a mark")
        if mark.get("type") == "point":
            x, y = numbers(mark.get("data"), 2, "a point")
            points.append((x, y))
            labels.append(int(bool(mark.get("label", 1))))
        elif mark.get("type") == "rectangle":
            x0, y0, x1, y1 = numbers(mark.get("data"), 4, "a rectangle")
            boxes.append((x0, y0, x1, y1))
    return Clicks(points=points, labels=labels, boxes=boxes)


def _shapes(found: Result) -> list[dict[str, Any]]:
    """Return a closed polygon for each object that is there."""
    assert found.masks is not None
    shapes: list[dict[str, Any]] = []
    for n, mask in enumerate(found.masks):
        outline = outline_of(mask)
        if not outline:
            continue
        points = [list(pair) for pair in zip(outline[::2], outline[1::2], strict=True)]
        score = None if found.scores is None else float(found.scores[n])
        shapes.append(
            {
                "label": _LABEL, "shape_type": "polygon", "points": [*points, points[0]],
                "score": None if score is None else min(max(round(score, 6), 0.0), 1.0),
                "attributes": {}, "description": None, "difficult": False, "direction": 0,
                "flags": None, "group_id": found.ids[n], "kie_linking": [],
            }
        )  # fmt: skip
    return shapes


def _events(video: UploadedVideo, start: int | None) -> Iterator[str]:
    """Yield server-sent events: that it began, each frame, and all results at the end."""

    def event(**said: Any) -> str:
        return f"data: {json.dumps(said)}\n\n"

    total = video.num_frames
    yield event(type="started", total_frames=total, start_frame_index=0)
    results = {}
    try:
        for count, found in enumerate(video.tracked(start), 1):
            frame = int(found.frame or 0)
            results[str(frame)] = {"masks": _shapes(found)}
            yield event(
                type="progress", current_frame=frame, total_frames=total, progress=count / total
            )
    except UserError as error:
        yield event(type="error", message=str(error))
        return
    yield event(type="completed", results=results)
