"""Run ``pocketeye web``: serve the page of an exported network, or stand behind an annotation tool."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pocketeye import progress
from pocketeye.errors import InvalidValue, MissingExtra
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.outputs import scratch_folder
from pocketeye.verb_result import VerbResult
from pocketeye.verbs._options import refuse

if TYPE_CHECKING:
    from pocketeye.serving.server import Served


@dataclass(frozen=True, kw_only=True)
class WebResult(VerbResult):
    """Hold what was served, after it was stopped."""

    model: Path
    url: str
    backend: str | None = None

    def to_dict(self) -> dict[str, Any]:
        said = {"schema": "pocketeye.web/1", "model": str(self.model), "url": self.url}
        return {**said, "backend": self.backend} if self.backend else said

    def lines(self) -> list[str]:
        return [f"served {self.model}"]


def web(
    model: Path | None = None,
    *,
    backend: Literal["label-studio", "cvat", "x-anylabeling"] | None = None,
    images: Path | None = None,
    fetch_from: list[str] | None = None,
    checkpoint: Path | None = None,
    engine: Literal["auto", "onnxruntime", "torch"] | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
) -> WebResult:
    """Serve the page of an exported network: on the camera, a photo or a clip. Nothing is uploaded.

    With --backend an annotation tool is served instead, whose clicks a tracker answers. It runs until it
    is interrupted. To measure a phone, see `pocketeye measure --runtime browser`.

    Args:
        model: folder of a site (`pocketeye export --to web`), or of an artefact for onnxruntime. With
            --backend a tracker, by default ours, whose weights come along.
        backend: the tool that asks: label-studio as ML backend, cvat in the place of Nuclio,
            x-anylabeling as remote server.
        images: of label-studio: the folder in which the images of tasks are looked for by their names.
            No other file is read.
        fetch_from: of label-studio: its address, such as http://localhost:8080, may be repeated. Images
            are fetched from there, and from nowhere else.
        checkpoint: with --backend, the tracker's weights.
        engine: with --backend, what computes: by default the graphs that come along, without torch.
        host: address to listen on. By default this machine alone can ask; 0.0.0.0 opens it to the local
            network, for whoever has the address with its token, which is shown as a QR code too. Tools
            give the token as a password.
        port: 0 takes a free one.

    Raises:
        MissingExtra: the extra web is not installed.
        MissingFile: neither a site nor an artefact, ONNX Runtime Web was not fetched, or no weights.
        InvalidValue: an artefact that pages cannot run, an address that is not this machine's, a
            port that is taken, or an option of a backend without one.
    """
    require_extra()
    if backend is not None:
        return _serve_backend(
            backend, DEFAULT_TRACKER if model is None else str(model), images, fetch_from or [],
            checkpoint, engine or "auto", host, port,
        )  # fmt: skip
    refuse(
        "a page (name the tool with --backend)", images=images, fetch_from=fetch_from,
        checkpoint=checkpoint, engine=engine,
    )  # fmt: skip
    if model is None:
        raise InvalidValue("say which folder to serve, or which tool with --backend")
    # Late: the extra may be missing, and the help is wanted without it.
    from pocketeye.serving.server import Served, is_loopback, qr_lines
    from pocketeye.web.serve import make_site, site_app

    with scratch_folder() as scratch:
        served = Served(site_app(make_site(model, scratch)), host, port)
        code = [] if is_loopback(host) else qr_lines(served.url)
        _wait_for(served, [*code, f"open {served.url} (Ctrl-C ends it)"])
    return WebResult(model=model, url=served.url)


def _serve_backend(
    backend: Any, model: str, images: Path | None, fetch_from: list[str], checkpoint: Path | None,
    engine: Any, host: str, port: int,
) -> WebResult:  # fmt: skip
    from pocketeye.serving.server import Served
    from pocketeye.tracking import load_tracker
    from pocketeye.web.backends.app import backend_app

    if backend == "cvat" and not port:
        # Its answer says on which port the functions are called: it must be known before.
        raise InvalidValue("--backend cvat needs a --port of its own, such as 8070, and not 0")
    if backend != "label-studio":
        refuse(f"{backend}, which sends its images", images=images, fetch_from=fetch_from or None)
    with progress.task("loading"):
        tracker = load_tracker(model, checkpoint, engine=engine)
    name = Path(model).resolve().name if Path(model).exists() else model
    app = backend_app(backend, name, tracker, images=images, fetch_from=fetch_from, port=port)
    served = Served(app, host, port)
    address = served.url.partition("?")[0]
    token = f", password {served.token}" if served.token else ""
    _wait_for(served, [f"{backend} finds {name} at {address}{token} (Ctrl-C ends it)"])
    return WebResult(model=Path(model), url=served.url, backend=backend)


def _wait_for(served: Served, lines: list[str]) -> None:
    """Say what there is to know, and serve until the user ends it."""
    try:
        progress.say("\n".join(lines))
        served.wait()
    except KeyboardInterrupt:
        pass  # the way to end it
    finally:
        served.close()


def require_extra() -> None:
    """Check that what serves is installed.

    Raises:
        MissingExtra: it is not.
    """
    for package in ("starlette", "uvicorn", "segno"):
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError as error:
            raise MissingExtra("serving pages", package, "web") from error
