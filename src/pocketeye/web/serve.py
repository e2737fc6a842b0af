"""Serve a site, from a folder that was exported or made for the moment from an artefact."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pocketeye.errors import InvalidValue
from pocketeye.exporting.web import SITE, SITE_SCHEMA, write_site
from pocketeye.reading import Kind, require_file
from pocketeye.runs import MANIFEST
from pocketeye.serving.files import FRESH, application, file_answer

_KIND = Kind(what="a site of pocketeye", schema=SITE_SCHEMA, remedy="export it again with --to web")
_INDEX = "index.html"


def site_files(folder: Path) -> dict[str, Path]:
    """Return the files of a site by the path of their address.

    Raises:
        MissingFile: no site there, or one of its files is gone.
        InvalidValue: its list is damaged, or names a file outside of the folder.
    """
    require_file(
        folder / SITE, f"{folder} is no site ({SITE} is missing): pocketeye export --to web"
    )
    names = _KIND.pick(folder / SITE, files=list[str])["files"]
    root = folder.resolve()
    files = {}
    for name in (SITE, *names):
        path = (root / name).resolve()
        # A list that was tampered with would serve any file of this machine.
        if not path.is_relative_to(root):
            raise InvalidValue(f"{folder / SITE} names {name!r:.80}, which is not in its folder")
        require_file(path, f"{folder} lacks {name}: export it again with --to web")
        files[name] = path
    return files


def make_site(model: Path, scratch: Path) -> Path:
    """Return the folder of a site: ``model`` itself, or one made from an artefact in ``scratch``.

    Raises:
        MissingFile, InvalidValue: neither a site nor an artefact that pages can run.
    """
    if (model / MANIFEST).is_file() and not (model / SITE).is_file():
        return write_site(model, scratch / "site").folder
    require_file(
        model / SITE,
        f"{model} is neither a site nor an artefact: pocketeye export NAME --to web --out {model}",
    )
    return model


def site_app(folder: Path) -> Starlette:
    """Make the application that serves a site: its own files by a list, and nothing else.

    Raises:
        MissingFile, InvalidValue: as :func:`site_files`.
    """
    files = site_files(folder)

    async def file(request: Request) -> Response:
        return file_answer(files, request.path_params.get("name") or _INDEX, FRESH)

    routes = [Route("/", file), Route("/{name:path}", file)]
    return application(routes)
