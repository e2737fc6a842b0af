"""Stand before every request: who may ask, how much may be sent, and how long it may take."""

from __future__ import annotations

import asyncio
import base64
import secrets
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "pocketeye"
MAX_BODY_BYTES = 48 * 2**20  # the outputs of one network for a parity check, as text
BODY_SECONDS = 30.0  # a phone on a bad network sends a result of megabytes within it
_LONGEST_TARGET = 2048  # characters of path and query; ours have 60
# Threads and a clock of 5 us are given to isolated pages alone; nothing is loaded from elsewhere.
HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval' blob:; worker-src 'self' blob:; "
        "img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Access:
    """Say who may ask.

    Attributes:
        hosts: values of the Host header, with the port, that are this server. Any other is a page of
            somebody else that had its name point here.
        token: in the address that is shown once, or in a header; None on loopback, where only this
            machine asks.
        secret: what the cookie holds after the token was given.
    """

    hosts: frozenset[str]
    token: str | None = None
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class Refused(Exception):  # noqa: N818 - named for what happened
    """Say why a request is not answered, with its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Guard:
    """Check every request before the application sees it, and add headers to every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self.app, self.access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no WebSockets here
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
            bears = self._bears_token(headers)
            self._check(scope, headers, bears)
            if self._gives_token(scope):
                response = RedirectResponse(scope["path"], status_code=303)
                response.set_cookie(COOKIE, self.access.secret, httponly=True, samesite="strict")
                await response(scope, receive, answer)
                return
            if not bears:
                self._check_cookie(headers)
            await self.app(scope, _bounded(receive, headers), answer)
        except Refused as refused:
            text = PlainTextResponse(f"{refused}\n", status_code=refused.status)
            await text(scope, receive, answer)

    def _bears_token(self, headers: dict[str, str]) -> bool:
        """Tell whether a program gave the token: as bearer, password, or X-AnyLabeling's header."""
        if self.access.token is None:
            return False
        kind, _, value = headers.get("authorization", "").partition(" ")
        given = [headers.get("token", "")]
        if kind.lower() == "bearer":
            given.append(value.strip())
        elif kind.lower() == "basic":
            try:
                said = base64.b64decode(value, validate=True).decode("utf-8", "replace")
            except ValueError:
                said = ""
            given.append(said.partition(":")[2])
        expected = self.access.token.encode()
        return any(secrets.compare_digest(each.encode(), expected) for each in given)

    def _check(self, scope: Scope, headers: dict[str, str], bears_token: bool) -> None:
        host = headers.get("host", "").lower()
        # Who has the token is no page that had its name point here, whatever a container calls us.
        if host not in self.access.hosts and not bears_token:
            raise Refused(421, f"this server is not {host!r:.80}")
        if len(scope["raw_path"]) + len(scope["query_string"]) > _LONGEST_TARGET:
            raise Refused(414, "the address is too long")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, f"the method {scope['method']!r:.20} is not known here")
        if scope["method"] == "POST":
            # A form of another site can post here, but neither as JSON nor without telling its origin.
            origin = headers.get("origin")
            if origin is not None and urlsplit(origin).netloc.lower() != host:
                raise Refused(403, "another site may not send anything here")
            if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
                raise Refused(415, "only JSON is taken")

    def _gives_token(self, scope: Scope) -> bool:
        if self.access.token is None or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        return secrets.compare_digest(given.encode(), self.access.token.encode())

    def _check_cookie(self, headers: dict[str, str]) -> None:
        if self.access.token is None:
            return
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        given = cookie.value if cookie else ""
        if not secrets.compare_digest(given.encode(), self.access.secret.encode()):
            raise Refused(
                403,
                "open the address that the terminal shows, with its token, or scan the code again",
            )


def _bounded(receive: Receive, headers: dict[str, str]) -> Receive:
    """Return ``receive`` that refuses bodies that are too long or too slow."""
    try:
        announced = int(headers.get("content-length", "0"))
    except ValueError:
        raise Refused(400, "the length of the body is no number") from None
    if announced > MAX_BODY_BYTES:
        raise Refused(413, f"at most {MAX_BODY_BYTES // 2**20} MB are taken")
    total = 0
    whole = False
    loop = asyncio.get_running_loop()
    until = loop.time() + BODY_SECONDS

    async def bounded() -> Message:
        nonlocal total, whole
        if whole:  # what follows the body is the end of the connection, at any time
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise Refused(408, "the request took too long") from None
        if message["type"] == "http.request":
            total += len(message.get("body", b""))
            whole = not message.get("more_body", False)
        if total > MAX_BODY_BYTES:
            raise Refused(413, f"at most {MAX_BODY_BYTES // 2**20} MB are taken")
        return message

    return bounded
