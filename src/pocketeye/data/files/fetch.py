"""Fetch one image from an address that the user named."""

from __future__ import annotations

import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing, suppress
from typing import Any

from pocketeye.data.files.decode import UnreadableImage

TIMEOUT_S = 20.0
"""Without a byte from the server."""
DEADLINE_S = 60.0
"""From the first connection to the last byte, redirects and headers included."""
# Larger than any photograph; a stranger's server must not fill the memory.
MOST_BYTES = 64 << 20
_CHUNK = 1 << 16  # bytes between two looks at the size


def is_address(name: str) -> bool:
    """Tell whether this is an http or https address."""
    return name.lower().startswith(("http://", "https://"))


def fetch(address: str, *, headers: Mapping[str, str] | None = None, stay: bool = False) -> bytes:
    """Fetch the bytes at an http(s) address; redirects are followed to http(s) only.

    Args:
        address: of the image.
        headers: sent along; a redirect would carry them to another host, unless ``stay``.
        stay: follow no redirect.

    Raises:
        UnreadableImage: no network, no such host or page, too slow or too large.
    """
    with closing(_Deadline(DEADLINE_S)) as deadline:
        try:
            said = {"User-Agent": "pocketeye", **(headers or {})}
            request = urllib.request.Request(address, headers=said)
            with _opener(deadline, stay=stay).open(
                request, timeout=min(TIMEOUT_S, DEADLINE_S)
            ) as response:
                return _read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise UnreadableImage(f"the server answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            # The deadline closes connections, which shows as any error of the network.
            deadline.check()
            reason = getattr(error, "reason", None) or error
            why = getattr(reason, "strerror", None) or str(reason) or type(error).__name__
            raise UnreadableImage(
                f"cannot be fetched ({why}): without a network, save the image and name the file"
            ) from error


class _Deadline:
    """End all connections made through it after ``seconds``, whatever they wait for.

    A timeout of a socket begins anew with every byte: a server that sends one now and then, in its
    headers too, would hold up a job for ever.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds
        self._open: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end_all)
        self._timer.daemon = True
        self._timer.start()

    def close(self) -> None:
        """Give the connections back."""
        self._timer.cancel()
        for connection in self._open:
            connection.close()

    def check(self) -> None:
        """Raise UnreadableImage once the time is over."""
        if time.monotonic() >= self._end:
            raise UnreadableImage(f"not here after {self.seconds:g} s")

    def connect(self, address: Any, timeout: Any = None, *rest: Any, **more: Any) -> socket.socket:
        """Stand in for ``socket.create_connection``."""
        left = max(self._end - time.monotonic(), 0.01)
        made = socket.create_connection(address, min(timeout or left, left), *rest, **more)
        self._open.append(made.dup())  # the same connection, also below TLS
        return made

    def _end_all(self) -> None:
        for connection in self._open:
            with suppress(OSError):  # the server closed it first
                connection.shutdown(socket.SHUT_RDWR)


def _read(response: Any, deadline: _Deadline) -> bytes:
    # Refused before it is read, where the server says so.
    stated = response.headers.get("Content-Length", "")
    if stated.isdigit() and int(stated[:20]) > MOST_BYTES:
        raise UnreadableImage(_too_large())
    parts, size = [], 0
    while part := response.read1(_CHUNK):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            raise UnreadableImage(_too_large())
        deadline.check()
    # A connection that breaks off looks like the end of the file.
    deadline.check()
    if stated.isdigit() and size < int(stated[:20]):
        raise UnreadableImage(f"the connection ended after {size} of {stated} bytes")
    return b"".join(parts)


def _too_large() -> str:
    return f"larger than {MOST_BYTES >> 20} MiB"


def _opener(deadline: _Deadline, *, stay: bool) -> urllib.request.OpenerDirector:
    """Make an opener without ``file:`` and ``ftp:``, to which a server could redirect."""

    # urllib has no other place to hand a socket in.
    def connection(kind: Any) -> Any:
        def make(host: str, **options: Any) -> http.client.HTTPConnection:
            made: http.client.HTTPConnection = kind(host, **options)
            made._create_connection = deadline.connect  # type: ignore[attr-defined]
            return made

        return make

    class Http(urllib.request.HTTPHandler):
        def http_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(connection(http.client.HTTPConnection), request)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, request: urllib.request.Request) -> Any:
            return self.do_open(connection(http.client.HTTPSConnection), request)

    # Built by hand: the usual opener has handlers of files and FTP as well.
    opener = urllib.request.OpenerDirector()
    handlers = [
        urllib.request.ProxyHandler, urllib.request.UnknownHandler, Http, Https,
        urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor,
    ]  # fmt: skip
    for handler in (*handlers, *[urllib.request.HTTPRedirectHandler] * (not stay)):
        opener.add_handler(handler())
    return opener
