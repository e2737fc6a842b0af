"""Run ``pocketeye web``: serve the page of an exported network, to this machine or to a phone."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pocketeye import progress
from pocketeye.errors import MissingExtra
from pocketeye.outputs import scratch_folder
from pocketeye.verb_result import VerbResult


@dataclass(frozen=True, kw_only=True)
class WebResult(VerbResult):
    """Hold what was served, after it was stopped."""

    model: Path
    url: str

    def to_dict(self) -> dict[str, Any]:
        return {"schema": "pocketeye.web/1", "model": str(self.model), "url": self.url}

    def lines(self) -> list[str]:
        return [f"served {self.model}"]


def web(model: Path, *, host: str = "127.0.0.1", port: int = 8765) -> WebResult:
    """Serve the page of an exported network: on the camera, a photo or a clip. Nothing is uploaded.

    It runs until it is interrupted. To measure a phone, see `pocketeye measure --runtime browser`.

    Args:
        model: folder of a site (`pocketeye export --to web`), or of an artefact for onnxruntime.
        host: address to listen on. By default this machine alone can ask; 0.0.0.0 opens it to the local
            network, for whoever has the address with its token, which is shown as a QR code too.
        port: 0 takes a free one.

    Raises:
        MissingExtra: the extra web is not installed.
        MissingFile: neither a site nor an artefact, or ONNX Runtime Web was not fetched.
        InvalidValue: an artefact that pages cannot run, an address that is not this machine's, or a
            port that is taken.
    """
    require_extra()
    # Late: the extra may be missing, and the help is wanted without it.
    from pocketeye.serving.server import Served, is_loopback, qr_lines
    from pocketeye.web.serve import make_site, site_app

    with scratch_folder() as scratch:
        served = Served(site_app(make_site(model, scratch)), host, port)
        try:
            if not is_loopback(host):
                progress.say("\n".join(qr_lines(served.url)))
            progress.say(f"open {served.url} (Ctrl-C ends it)")
            served.wait()
        except KeyboardInterrupt:
            pass  # the way to end it
        finally:
            served.close()
    return WebResult(model=model, url=served.url)


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
