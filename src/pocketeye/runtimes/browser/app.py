"""Answer the pages: the measuring page, ONNX Runtime Web, graphs, and the exchange of jobs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pocketeye.reading import BadField
from pocketeye.runtimes.browser.assets import ORT_WASM, ORT_WEBGPU, PAGES, ort_folder
from pocketeye.runtimes.browser.hub import Hub
from pocketeye.serving.files import FRESH, application, file_answer, media_type, page_routes

# The runtime changes with its version alone: it is not asked for each time.
_KEPT = {"cache-control": "max-age=86400"}
_MESSAGE_BYTES = 64 * 2**10  # of everything but results


def ort_route() -> Route:
    """Return the route to the files of ONNX Runtime Web that pages load.

    Raises:
        MissingFile: they were not fetched.
    """
    folder = ort_folder()
    files = {n: folder / n for n in (*ORT_WASM, *ORT_WEBGPU) if (folder / n).is_file()}

    async def ort(request: Request) -> Response:
        return file_answer(files, request.path_params["name"], _KEPT)

    return Route("/ort/{name}", ort)


def measuring_app(hub: Hub) -> Starlette:
    """Make the application that measures.

    Raises:
        MissingFile: ONNX Runtime Web was not fetched.
    """
    routes = [
        Route("/api/hello", _post(lambda data: {"device": hub.hello(data)}), methods=["POST"]),
        Route("/api/alive", _post(lambda data: hub.alive(_key(data))), methods=["POST"]),
        Route("/api/work", _post(lambda data: hub.work(_key(data))), methods=["POST"]),
        Route(
            "/api/result",
            _post(lambda data: hub.result(_key(data), data), bounded=False),
            methods=["POST"],
        ),
        Route("/graphs/{number:int}.onnx", _graph(hub)),
        Route("/graphs/{number:int}.bin", _values(hub)),
        ort_route(),
        *page_routes(PAGES, "measure.html"),
    ]
    return application(routes)


def _key(data: Any) -> str:
    key = data.get("device") if isinstance(data, dict) else None
    if not isinstance(key, str):
        raise BadField("it does not say which page it comes from")
    return key


def _post(answer: Callable[[Any], Any], *, bounded: bool = True) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if bounded and len(body) > _MESSAGE_BYTES:
            return JSONResponse({"error": "the message is too long"}, status_code=413)
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return JSONResponse({"error": "the message is no JSON"}, status_code=400)
        try:
            # In a thread: the hub waits for work, and takes a lock.
            found = await run_in_threadpool(answer, data)
        except BadField as error:
            return JSONResponse({"error": str(error)}, status_code=422)
        return JSONResponse(found)

    return endpoint


def _graph(hub: Hub) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        try:
            path = hub.graph_file(request.path_params["number"])
        except KeyError:
            path = None
        if path is None or not path.is_file():
            return PlainTextResponse("there is no such graph\n", status_code=404)
        return FileResponse(path, media_type=media_type(".onnx"), headers=FRESH)

    return endpoint


def _values(hub: Hub) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        try:
            values = hub.graph_values(request.path_params["number"])
        except KeyError:
            return PlainTextResponse("there is no such graph\n", status_code=404)
        return Response(values, media_type=media_type(".bin"), headers=FRESH)

    return endpoint
