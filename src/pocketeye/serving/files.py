"""Answer with files of a list: no path of a request is ever opened."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from pocketeye.serving.guard import Refused

# A page's own files are small and change with the package: asked for each time.
FRESH = {"cache-control": "no-cache"}
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".onnx": "application/octet-stream",
    ".bin": "application/octet-stream",
    ".gz": "application/octet-stream",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}


def media_type(name: str) -> str:
    """Return the media type of a file by its ending; browsers refuse modules and WASM of another."""
    return MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")


def file_answer(files: dict[str, Path], name: str, headers: dict[str, str]) -> Response:
    """Return the answer with a file of a list, by its name there; 404 where there is none."""
    path = files.get(name)
    if path is None or not path.is_file():
        return PlainTextResponse("there is no such file here\n", status_code=404)
    return FileResponse(path, media_type=media_type(name), headers=headers)


def page_routes(folder: Path, index: str) -> list[Route]:
    """Return routes to the files of one folder, by a list made now: no path of a request is opened.

    Args:
        index: the file that ``/`` is.
    """
    files = {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}

    async def page(request: Request) -> Response:
        return file_answer(files, request.path_params.get("name", index), FRESH)

    return [Route("/", page), Route("/{name}", page)]


def application(routes: list[Route]) -> Starlette:
    """Make an application of exactly these routes: an address with a slash more is another one."""
    app = Starlette(routes=routes, exception_handlers={Refused: refused})
    app.router.redirect_slashes = False
    return app


async def refused(_: Request, error: Exception) -> Response:
    """Answer a request that was refused while its body was read."""
    assert isinstance(error, Refused)
    return PlainTextResponse(f"{error}\n", status_code=error.status)
