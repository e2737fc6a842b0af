"""Serve an application in a thread, on this machine alone or on the local network."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pocketeye.errors import InvalidValue
from pocketeye.serving.guard import Access, Guard

LOOPBACK = "127.0.0.1"
PORT = 8765
MAX_CONNECTIONS = 64
HEADER_SECONDS = 10.0  # from opening a connection to a whole request
_START_SECONDS = 10.0


class _TimedProtocol(H11Protocol):
    """Close connections beyond the bound, and those that do not get a request together."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._cut = self.loop.call_later(HEADER_SECONDS, self._close_if_idle)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cut.cancel()
        super().connection_lost(exc)

    def _close_if_idle(self) -> None:
        # The first request has come: from here uvicorn's own limit on idle connections holds.
        if self.cycle is None:
            self.transport.abort()


class Served:
    """Hold a running server.

    Attributes:
        url: the address to open, with the token where one is needed.
        token: for programs, as password or bearer; None on loopback.
    """

    def __init__(self, app: ASGIApp, host: str = LOOPBACK, port: int = PORT) -> None:
        """Start to serve.

        Raises:
            InvalidValue: no such address on this machine, or the port is taken.
        """
        listening = listen(host, port)
        port = listening.getsockname()[1]
        shown, names = _names(host)
        lan = not is_loopback(host)
        access = Access(
            hosts=frozenset(f"{_bracketed(name)}:{port}" for name in names),
            token=secrets.token_urlsafe(16) if lan else None,
        )
        self.token = access.token
        query = f"?token={access.token}" if access.token else ""
        self.url = f"http://{_bracketed(shown)}:{port}/{query}"
        config = uvicorn.Config(
            Guard(app, access),
            http=_TimedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=16 * 2**10,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._run, args=(listening,), name="pocketeye-web", daemon=True
        )
        self._thread.start()
        until = time.monotonic() + _START_SECONDS
        while not self._server.started and self._thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
        assert self._server.started, "the server did not start"

    def _run(self, listening: socket.socket) -> None:
        # Not Server.run: it would take over the signals of the process.
        asyncio.run(self._server.serve(sockets=[listening]))

    def wait(self) -> None:
        """Serve until the process is interrupted."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop to serve."""
        self._server.should_exit = True
        self._thread.join(5)


def listen(host: str, port: int) -> socket.socket:
    """Open the socket; the port 0 takes a free one.

    Raises:
        InvalidValue: no such address on this machine, or the port is taken.
    """
    if not 0 <= port <= 65535:
        raise InvalidValue(f"a port is a number from 0 to 65535, got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise InvalidValue(
            f"cannot serve on {host}, port {port} ({error.strerror or error}): name an address of this "
            "machine, 0.0.0.0 for all of them, and a port that is free"
        ) from error
    opened.listen(MAX_CONNECTIONS)
    return opened


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def qr_lines(url: str) -> list[str]:
    """Draw an address as a QR code in text, two rows a line, dark on light as cameras want it."""
    import segno

    rows = [list(row) for row in segno.make_qr(url, error="l").matrix_iter(border=2)]
    if len(rows) % 2:
        rows.append([0] * len(rows[0]))
    # Light modules are drawn: terminals are dark more often than not.
    blocks = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
    return [
        "".join(blocks[int(a), int(b)] for a, b in zip(rows[i], rows[i + 1], strict=True))
        for i in range(0, len(rows), 2)
    ]


def _names(host: str) -> tuple[str, set[str]]:
    """Return the address to show, and all that mean this server."""
    local = {"localhost", LOOPBACK, "::1"}
    if is_loopback(host):
        return ("localhost" if host == LOOPBACK else host), local | {host}
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:  # a name
        everywhere = False
    if not everywhere:
        return host, local | {host.lower()}
    shown = _lan_address()
    return shown, local | {shown}


def _lan_address() -> str:
    """Return the address by which the local network knows this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: the system only chooses a way
        except OSError:
            return LOOPBACK
        return str(probe.getsockname()[0])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
