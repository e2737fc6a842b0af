"""Who may ask the server behind an annotation tool, and how much."""

from __future__ import annotations

import base64
import json
import urllib.request
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.serving.guard import Access
from pocketeye.serving.server import Served
from pocketeye.tracking.video.tracker import Tracker
from pocketeye.web.backends import endpoints, images
from pocketeye.web.backends.images import decoded, from_base64
from pocketeye.web.backends.sessions import Sessions
from tests.web.backend_client import HOST, client, disc, png


def test_beyond_loopback_the_token_is_a_password(nano: Tracker[Any]) -> None:
    access = Access(hosts=frozenset({HOST}), token="sesame")
    ask = client("label-studio", nano, access)
    assert ask.get("/health").status_code == 403
    for headers in (
        {"authorization": "Bearer sesame"}, {"token": "sesame"},
        {"authorization": "Basic " + base64.b64encode(b"anybody:sesame").decode()},
    ):  # fmt: skip
        assert ask.get("/health", headers=headers).status_code == 200
        # A container calls this machine by another name.
        named = {**headers, "host": "host.docker.internal:8765"}
        assert ask.get("/health", headers=named).status_code == 200
    for headers in (
        {"authorization": "Bearer other"}, {"authorization": "Basic sesame"}, {"token": ""},
        {"authorization": "Basic " + base64.b64encode(b"sesame:").decode()}, {"authorization": "Basic"},
    ):  # fmt: skip
        assert ask.get("/health", headers=headers).status_code == 403
        named = {**headers, "host": "evil.example"}
        assert ask.get("/health", headers=named).status_code == 421


def test_pages_of_others_cannot_ask(nano: Tracker[Any]) -> None:
    ask = client("cvat", nano)
    assert ask.get("/api/functions", headers={"host": "evil.example"}).status_code == 421
    assert ask.post("/", json={}, headers={"origin": "http://evil.example"}).status_code == 403
    plain = ask.post("/", content="{}", headers={"content-type": "text/plain"})
    assert plain.status_code == 415
    # On loopback there is no token that could be empty.
    assert ask.get("/api/functions", headers={"host": "x", "token": ""}).status_code == 421


def test_few_wait_at_once(nano: Tracker[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "MOST_WAITING", 0)
    answer = client("cvat", nano).post("/", json={})
    assert answer.status_code == 503
    assert "come again" in answer.json()["error"]


def test_images_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 100)
    with pytest.raises(InvalidValue, match="an image of 160x120 pixels"):
        decoded(png(disc()))
    with pytest.raises(InvalidValue, match="data URI"):
        from_base64("data:image/png,abc")


def test_sessions_are_few() -> None:
    class Item:
        closed = False

        def close(self) -> None:
            self.closed = True

    kept: Sessions[Item] = Sessions(most=2)
    items = [Item() for _ in range(3)]
    names = [kept.keep(items[0]), kept.keep(items[1])]
    kept.get(names[0])
    kept.keep(items[2])
    assert [item.closed for item in items] == [False, True, False]
    with pytest.raises(InvalidValue, match="only 2 are kept"):
        kept.get(names[1])
    kept.close()
    assert len(kept) == 0
    assert items[0].closed


def test_a_backend_is_served_until_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def ask(self: Served) -> None:
        with urllib.request.urlopen(f"{self.url}health") as answer:
            asked.append(answer.status)
        raise KeyboardInterrupt

    monkeypatch.setattr(Served, "wait", ask)
    assert main(["web", "--backend", "label-studio", "--port", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["model"], said["backend"], asked) == ("pocketeye_tam_nano", "label-studio", [200])


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backend", "cvat", "--images", "."], "--images means nothing to cvat"),
        (["--backend", "cvat", "--port", "0"], "--port of its own"),
        (["--images", "."], "name the tool with --backend"),
        ([], "which folder to serve, or which tool"),
        (["--backend", "label-studio", "--images", "nowhere"], "no folder nowhere"),
        (["--backend", "label-studio", "--fetch-from", "host"], "'host' is no address"),
        (["casvit_xs", "--backend", "cvat"], "casvit_xs"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["web", *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert "Traceback" not in error
