"""One image from an address that the user named."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

from pocketeye.data.files.decode import UnreadableImage

TIMEOUT_S = 20.0
"""Without an answer; the whole image may take three times as long."""
MOST_BYTES = 64 << 20
_CHUNK = 1 << 16  # bytes between two looks at the clock


def is_address(name: str) -> bool:
    """Whether this is an http or https address."""
    return name.lower().startswith(("http://", "https://"))


def fetch(address: str) -> bytes:
    """Fetch the bytes at an http(s) address; redirects are followed to http(s) only.

    Raises:
        UnreadableImage: no network, no such host or page, too slow or too large.
    """
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "pocketeye"})
        with _opener().open(request, timeout=TIMEOUT_S) as response:
            return _read(response)
    except urllib.error.HTTPError as error:
        with error:
            raise UnreadableImage(f"the server answers {error.code} {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        why = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
        raise UnreadableImage(
            f"cannot be fetched ({why}): without a network, save the image and name the file"
        ) from error


def _read(response: Any) -> bytes:
    stated = response.headers.get("Content-Length", "")
    if stated.isdigit() and int(stated) > MOST_BYTES:
        raise UnreadableImage(_too_large())
    deadline, parts, size = time.monotonic() + 3 * TIMEOUT_S, [], 0
    while part := response.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise UnreadableImage(_too_large())
        if time.monotonic() > deadline:
            raise UnreadableImage(f"not here after {3 * TIMEOUT_S:.0f} s")
    if stated.isdigit() and size < int(stated):
        raise UnreadableImage(f"the connection ended after {size} of {stated} bytes")
    return b"".join(parts)


def _too_large() -> str:
    return f"larger than {MOST_BYTES >> 20} MiB"


def _opener() -> urllib.request.OpenerDirector:
    """Make an opener without ``file:`` and ``ftp:``, to which a server could redirect."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler, urllib.request.UnknownHandler, urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener
