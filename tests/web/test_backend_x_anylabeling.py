"""X-AnyLabeling is answered as by its server; the requests are those that it sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from pocketeye.serving.server import Served
from pocketeye.tracking.video.tracker import Tracker
from pocketeye.web.backends.app import backend_app
from tests.web.backend_client import TRUTH, b64, client, disc, png


def uri(pixels: np.ndarray) -> str:
    return f"data:image/png;base64,{b64(pixels)}"


def box_of(shape: dict[str, Any]) -> np.ndarray:
    points = np.array(shape["points"])
    assert points[0].tolist() == points[-1].tolist()
    return np.concatenate([points.min(0), points.max(0)])


def test_x_anylabeling(nano: Tracker[Any]) -> None:
    ask = client("x-anylabeling", nano)
    assert ask.get("/health").json()["status"] == "healthy"
    models = ask.get("/v1/models").json()["data"]
    assert [m["batch_processing_mode"] for m in models.values()] == [None, "video"]
    assert ask.get("/v1/models/nano/info").json()["data"]["model_id"] == "nano"
    marks = [{"type": "point", "data": [85, 65], "label": 1}]
    params = {"conf_threshold": 0.0, "iou_threshold": 0.0, "epsilon_factor": 0.001, "marks": marks}
    payload = {"model": "nano", "image": uri(disc()), "params": params}
    said = ask.post("/v1/predict", json=payload, headers={"Token": ""}).json()
    assert said["success"]
    (shape,) = said["data"]["shapes"]
    assert (shape["label"], shape["shape_type"]) == ("AUTOLABEL_OBJECT", "polygon")
    assert shape["group_id"] > 0
    np.testing.assert_allclose(box_of(shape), TRUTH, atol=4)
    payload["params"] = {"marks": [{"type": "rectangle", "data": [58, 38, 112, 92]}] * 2}
    assert len(ask.post("/v1/predict", json=payload).json()["data"]["shapes"]) == 2
    payload["params"] = {}
    assert ask.post("/v1/predict", json=payload).json()["data"]["shapes"] == []
    other = ask.post("/v1/predict", json={**payload, "model": "yolo"})
    assert other.json()["error"]["message"].startswith("there is no model 'yolo'")


def events(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("data: "):
            yield json.loads(line[6:])


def test_x_anylabeling_videos(nano: Tracker[Any]) -> None:
    ask = client("x-anylabeling", nano)
    frames = [uri(disc(4 * n)) for n in range(3)]
    init = {"model": "nano_video", "frames": frames, "start_frame_index": 0}
    session = ask.post("/v1/video/init", json=init).json()["data"]["session_id"]
    named = {"session_id": session, "model": "nano_video"}
    prompt = {**named, "frame_index": 0, "points": [[85 / 160, 65 / 120]], "point_labels": [1],
              "obj_id": 10000, "params": {}}  # fmt: skip
    for _ in range(2):  # a prompt replaces the one before
        said = ask.post("/v1/video/prompt", json=prompt).json()["data"]
        assert (said["frame_index"], said["num_objects"]) == (0, 1)
    stream = ask.post("/v1/video/propagate/stream", json={**named, "start_frame": 0})
    assert stream.headers["content-type"].startswith("text/event-stream")
    first, *steps, last = events(stream.text)
    assert first == {"type": "started", "total_frames": 3, "start_frame_index": 0}
    assert [step["current_frame"] for step in steps] == [0, 1, 2]
    assert last["type"] == "completed"
    np.testing.assert_allclose(
        box_of(last["results"]["2"]["masks"][0]), np.add(TRUTH, [8, 0, 8, 0]), atol=4
    )
    for bad, word in (
        ({"text_prompt": "ball"}, "no text"), ({"session_id": "x"}, "no session"),
        ({"points": [[1]]}, "2 numbers"),
    ):  # fmt: skip
        answer = ask.post("/v1/video/prompt", json={**prompt, **bad}).json()
        assert not answer["success"]
        assert word in answer["error"]["message"]
    cleaned = f"/v1/video/cleanup/{session}?model=nano_video"
    assert ask.post(cleaned, json={}).json()["success"]
    assert not ask.post(cleaned, json={}).json()["success"]
    for text, word in (("eA==", "no image"), (3, "base64")):
        answer = ask.post("/v1/video/init", json={**init, "frames": [text]}).json()
        assert word in answer["error"]["message"]


def test_the_client_of_the_documents(
    nano: Tracker[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = Path(__file__).parents[2] / "docs" / "backends.md"
    code = document.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    assert len(code.splitlines()) <= 40
    (tmp_path / "disc.png").write_bytes(png(disc()))
    served = Served(backend_app("x-anylabeling", "nano", nano), "127.0.0.1", 0)
    try:
        monkeypatch.setenv("POCKETEYE_SERVER", served.url.rstrip("/"))
        known: dict[str, Any] = {"__name__": "client"}
        exec(compile(code, "client.py", "exec"), known)
        points, score = known["outline"](tmp_path / "disc.png", 85, 65)
        with pytest.raises(SystemExit, match="outside the image"):
            known["outline"](tmp_path / "disc.png", 500, 65)
    finally:
        served.close()
    assert score > 0.5
    corners = np.array(points)
    box = np.concatenate([corners.min(0), corners.max(0)])
    np.testing.assert_allclose(box, TRUTH, atol=4)
