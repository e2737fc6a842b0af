"""CVAT is answered as by Nuclio and its functions; the requests are those that it sends."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from starlette.testclient import TestClient

from pocketeye.tracking.video.tracker import Tracker
from tests.web.backend_client import TRUTH, b64, client, disc, is_disc


def invoke(ask: TestClient, function: str, payload: dict[str, Any]) -> Any:
    """As CVAT calls a function through Nuclio's dashboard."""
    headers = {"x-nuclio-project-name": "cvat", "x-nuclio-function-namespace": "nuclio",
               "x-nuclio-invoke-via": "domain-name", "X-Nuclio-Invoke-Timeout": "120s",
               "x-nuclio-function-name": function, "x-nuclio-path": "/"}  # fmt: skip
    return ask.post("/api/function_invocations", json=payload, headers=headers)


def test_cvat_finds_two_functions(nano: Tracker[Any]) -> None:
    ask = client("cvat", nano, port=8765)
    found = ask.get("/api/functions").json()
    assert sorted(found) == ["pocketeye-nano", "pocketeye-nano-tracker"]
    for name, said in found.items():
        notes = said["metadata"]["annotations"]
        # What CVAT's server looks at of each.
        assert said["metadata"]["name"] == name
        assert json.loads(notes.get("spec") or "[]") == []
        assert [int(notes.get(key, 1)) for key in ("version", "min_pos_points", "min_neg_points")]
        assert said["spec"]["description"]
        assert said["status"] == {"state": "ready", "httpPort": 8765}
        assert ask.get(f"/api/functions/{name}").json() == said
    kinds = [said["metadata"]["annotations"]["type"] for said in found.values()]
    assert kinds == ["interactor", "tracker"]
    assert ask.get("/api/functions/other").status_code == 404
    assert invoke(ask, "other", {}).status_code == 500


@pytest.mark.parametrize("box", [None, [[58, 38], [112, 92]]])
def test_cvat_clicks(nano: Tracker[Any], box: Any) -> None:
    ask = client("cvat", nano)
    payload = {"image": b64(disc()), "pos_points": [[85, 65]], "neg_points": [[5, 5]],
               "obj_bbox": box}  # fmt: skip
    for answer in (invoke(ask, "pocketeye-nano", payload), ask.post("/", json=payload)):
        assert answer.status_code == 200
        mask = np.array(answer.json()["mask"])
        assert {*np.unique(mask).tolist()} == {0, 1}
        assert is_disc(mask > 0)


def test_cvat_tracks(nano: Tracker[Any]) -> None:
    ask = client("cvat", nano)
    start = {"image": b64(disc()), "shapes": [[60, 40, 110, 90]], "states": [None]}
    said = invoke(ask, "pocketeye-nano-tracker", start).json()
    assert said["shapes"] == [[60, 40, 110, 90]]
    for step in (1, 2):
        following = {
            "image": b64(disc(4 * step)),
            "shapes": said["shapes"],
            "states": said["states"],
        }
        # CVAT signs states as JSON, and hands back what it was given.
        said = json.loads(json.dumps(invoke(ask, "pocketeye-nano-tracker", following).json()))
        np.testing.assert_allclose(said["shapes"][0], np.add(TRUTH, [4 * step, 0] * 2), atol=4)
    gone = {**following, "states": [{"session": "unknown", "object": 1}]}
    again = invoke(ask, "pocketeye-nano-tracker", gone).json()
    assert again["shapes"] == [list(said["shapes"][0])] or again["states"] != said["states"]
    other = {"image": b64(disc(0, (100, 100))), "shapes": said["shapes"], "states": said["states"]}
    assert invoke(ask, "pocketeye-nano-tracker", other).status_code == 200


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({}, "base64"),
        ({"image": "!!"}, "base64"),
        ({"image": base64.b64encode(b"no image").decode()}, "cannot be read"),
        ({"image": b64(disc()), "pos_points": [[1]]}, "a point should be 2 numbers"),
        ({"image": b64(disc()), "pos_points": [[500, 5]]}, "outside the image"),
        ({"image": b64(disc()), "shapes": [[1, 2, 3]]}, "a shape should be"),
        ({"image": b64(disc()), "shapes": [["a"] * 4]}, "a shape should be"),
    ],
)
def test_cvat_refuses(nano: Tracker[Any], payload: dict[str, Any], word: str) -> None:
    ask = client("cvat", nano)
    answer = ask.post("/", json=payload)
    assert answer.status_code == 500
    assert word in answer.json()["error"]
