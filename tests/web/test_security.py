"""A server of pages answers who may ask, for what it lists, in bounded size and time."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from starlette.applications import Starlette
from starlette.testclient import TestClient

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.runtimes.browser import assets
from pocketeye.runtimes.browser.app import measuring_app
from pocketeye.runtimes.browser.hub import Hub
from pocketeye.serving import guard, server
from pocketeye.serving.guard import Access, Guard
from pocketeye.serving.server import Served, is_loopback, listen, qr_lines
from pocketeye.web.serve import site_app, site_files
from tests.runtimes.browser.fake_page import FACTS

HOST = "localhost:8765"
ORT = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


@pytest.fixture(autouse=True)
def fake_ort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand two small files in the place of ONNX Runtime Web."""
    folder = tmp_path / "ort" / "dist"
    folder.mkdir(parents=True)
    for name in ORT:
        (folder / name).write_text("export {};")
    (folder.parent / "package.json").write_text('{"version": "1.2.3"}')
    monkeypatch.setenv(assets.ORT_VARIABLE, str(folder))
    return folder


def client(app: Starlette, access: Access | None = None, host: str = HOST) -> TestClient:
    guarded = Guard(app, access or Access(hosts=frozenset({HOST})))
    return TestClient(guarded, base_url=f"http://{host}", follow_redirects=False)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<p>hello")
    (folder / "secret.txt").write_text("not listed")
    (tmp_path / "outside.txt").write_text("outside")
    write_list(folder, ["index.html"])
    return folder


def write_list(folder: Path, files: list[str]) -> None:
    said = {"schema": "pocketeye.site/1", "files": files}
    (folder / "site.json").write_text(json.dumps(said))


def test_pages_are_isolated_and_typed() -> None:
    measuring = client(measuring_app(Hub()))
    for path, kind in (
        ("/", "text/html"), ("/worker.mjs", "text/javascript"), ("/style.css", "text/css"),
        (f"/ort/{ORT[1]}", "application/wasm"),
    ):  # fmt: skip
        answer = measuring.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith(kind)
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert "default-src 'self'" in answer.headers["content-security-policy"]


TRAVERSALS = [
    "/../outside.txt", "/..%2foutside.txt", "/%2e%2e/outside.txt", "/ort/..%2f..%2foutside.txt",
    "/....//outside.txt", "/%2fetc%2fpasswd", "//etc/passwd", "/index.html%00.txt", "/secret.txt",
    "/ort/../../outside.txt", "/graphs/../0.onnx", "/graphs/-1.onnx", "/graphs/0.onnx",
    "/graphs/99999999999999999999.onnx", "/C:%5cwindows", "/..%5coutside.txt", "/ort/", "/app.py",
]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out(path: str, site: Path) -> None:
    for app in (site_app(site), measuring_app(Hub())):
        assert client(app).get(path).status_code == 404


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/etc/passwd", "a/../../outside.txt", "link.txt"]
)
def test_a_list_that_names_files_outside_is_refused(name: str, site: Path) -> None:
    (site / "link.txt").symlink_to(site.parent / "outside.txt")
    write_list(site, ["index.html", name])
    with pytest.raises(InvalidValue, match="not in its folder"):
        site_files(site)


def test_a_site_that_lacks_a_file_is_refused(site: Path) -> None:
    write_list(site, ["index.html", "gone.mjs"])
    with pytest.raises(MissingFile, match=r"lacks gone\.mjs"):
        site_app(site)


@pytest.mark.parametrize("host", ["evil.example", "localhost", "localhost:1", "127.0.0.1", ""])
def test_other_hosts_are_refused(host: str, site: Path) -> None:
    answer = client(site_app(site)).get("/", headers={"host": host})
    assert answer.status_code == 421


def test_the_token_is_asked_beyond_loopback(site: Path) -> None:
    access = Access(hosts=frozenset({HOST}), token="right")
    asking = client(site_app(site), access)
    assert asking.get("/").status_code == 403
    assert asking.get("/?token=wrong").status_code == 403
    assert asking.get("/?token=").status_code == 403
    assert asking.get("/", headers={"cookie": f"{guard.COOKIE}=wrong"}).status_code == 403
    assert asking.get("/", headers={"cookie": "\x01"}).status_code == 403
    answer = asking.get("/?token=right")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "right" not in answer.headers["set-cookie"]
    assert asking.get("/").status_code == 200  # the cookie stays with the client


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "application/json", "origin": "http://evil.example"}, 403),
        ({"content-type": "application/json", "origin": "null"}, 403),
        ({"content-type": "application/json", "origin": f"http://{HOST}"}, 200),
    ],
)
def test_other_sites_cannot_post(headers: dict[str, str], status: int) -> None:
    answer = client(measuring_app(Hub())).post(
        "/api/hello", content=json.dumps(FACTS), headers=headers
    )
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400), (b"\xff", 400), (b"[" * 50_000, 400), (b"null", 422), (b'{"device": 1}', 422),
        (b'{"device": "guessed"}', 422), (b'"' + b"x" * 70_000 + b'"', 413),
    ],
)  # fmt: skip
def test_bad_messages_are_refused(body: bytes, status: int) -> None:
    asking = client(measuring_app(Hub()))
    answer = asking.post("/api/alive", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert asking.get("/").status_code == 200


def test_long_bodies_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "MAX_BODY_BYTES", 1000)
    asking = client(measuring_app(Hub()))
    kind = {"content-type": "application/json"}
    assert asking.post("/api/result", content=b"x" * 2000, headers=kind).status_code == 413

    def pieces() -> Iterator[bytes]:  # whose length is not announced
        for _ in range(30):
            yield b"x" * 100

    assert asking.post("/api/result", content=pieces(), headers=kind).status_code == 413
    wrong = {**kind, "content-length": "many"}
    assert asking.post("/api/result", content=b"x", headers=wrong).status_code == 400


def test_slow_bodies_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.05)
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.sleep(5)

    async def keep(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/api/result", "raw_path": b"/api/result",
        "query_string": b"", "root_path": "",
        "headers": [(b"host", HOST.encode()), (b"content-type", b"application/json")],
    }  # fmt: skip
    app = Guard(measuring_app(Hub()), Access(hosts=frozenset({HOST})))
    asyncio.run(app(scope, never, keep))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/", 405), ("DELETE", "/", 405), ("GET", "/?" + "x" * 4000, 414), ("POST", "/", 415)],
)
def test_odd_requests_are_refused(method: str, path: str, status: int) -> None:
    assert client(measuring_app(Hub())).request(method, path).status_code == status


@pytest.fixture
def served(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 8)
    running = Served(site_app(site), port=0)
    yield running
    running.close()


def connect(served: Served) -> socket.socket:
    port = int(served.url.rpartition(":")[2].strip("/"))
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_a_request_that_never_ends_is_cut(served: Served) -> None:
    began = time.monotonic()
    with connect(served) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: lo")
        assert is_closed(slow)
    assert time.monotonic() - began < 3


def test_headers_without_end_are_cut(served: Served) -> None:
    sent = 0
    with connect(served) as long:
        try:
            while sent < 2**22:
                sent += long.send(b"x: " + b"y" * 1000 + b"\r\n")
        except ConnectionError:
            return
        assert is_closed(long)


def test_connections_are_bounded(served: Served) -> None:
    held = [connect(served) for _ in range(8)]
    try:
        time.sleep(0.1)
        with connect(served) as one_more:
            assert is_closed(one_more)
    finally:
        for connection in held:
            connection.close()
    time.sleep(0.1)
    with connect(served) as again:
        port = served.url.rpartition(":")[2].strip("/")
        again.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        assert again.recv(100).startswith(b"HTTP/1.1 200")


def test_addresses() -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "my-host")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    with pytest.raises(InvalidValue, match="port is a number"):
        listen("127.0.0.1", 70000)
    with pytest.raises(InvalidValue, match="cannot serve on 203"):
        listen("203.0.113.1", 0)
    with listen("127.0.0.1", 0) as taken, pytest.raises(InvalidValue, match="port that is free"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_beyond_loopback_the_address_holds_a_token(site: Path) -> None:
    served = Served(site_app(site), "0.0.0.0", 0)
    try:
        assert "?token=" in served.url
        assert "0.0.0.0" not in served.url
    finally:
        served.close()


def test_qr_code_is_square_and_has_light_borders() -> None:
    lines = qr_lines("http://192.168.1.5:8765/?token=abcdefghijklmnop")
    assert len({len(line) for line in lines}) == 1
    assert abs(2 * len(lines) - len(lines[0])) <= 1
    assert set(lines[0]) == {"█"}


def test_missing_runtime_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(assets.ORT_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(MissingFile, match="make web"):
        measuring_app(Hub())
