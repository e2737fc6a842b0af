"""Annotation tools are answered in their own words; the requests are those that they send."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from PIL import Image
from starlette.testclient import TestClient

from pocketeye.data.labelled.brush import read_brush
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.serving.guard import Access, Guard
from pocketeye.serving.server import Served
from pocketeye.tracking import load_tracker
from pocketeye.tracking.video.tracker import Tracker
from pocketeye.web.backends import endpoints, images, label_studio_video
from pocketeye.web.backends.app import backend_app
from pocketeye.web.backends.images import ImageSource, decoded, from_base64
from pocketeye.web.backends.sessions import Sessions

HOST = "localhost:8765"
SIZE = (160, 120)
TRUTH = (60, 40, 110, 90)  # of the disc


@pytest.fixture(scope="module")
def nano() -> Tracker[Any]:
    """The tracker that comes along, by its graphs."""
    return load_tracker("pocketeye_tam_nano", engine="onnxruntime")


def disc(shift: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    width, height = size
    y, x = np.mgrid[:height, :width]
    inside = (x - 85 - shift) ** 2 + (y - 65) ** 2 < 25**2
    pixels = np.full((height, width, 3), (60, 110, 70), np.uint8)
    pixels[inside] = (230, 180, 40)
    return pixels


def png(pixels: np.ndarray) -> bytes:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "png")
    return stored.getvalue()


def b64(pixels: np.ndarray) -> str:
    return base64.b64encode(png(pixels)).decode()


def is_disc(mask: np.ndarray, shift: int = 0) -> bool:
    true = disc(shift)[..., 0] == 230
    return float((mask & true).sum() / (mask | true).sum()) > 0.85


def client(backend: Any, tracker: Any, access: Access | None = None, **more: Any) -> TestClient:
    app = backend_app(backend, "nano", tracker, **more)
    guarded = Guard(app, access or Access(hosts=frozenset({HOST})))
    return TestClient(guarded, base_url=f"http://{HOST}")


# --- Label Studio ---------------------------------------------------------------------------------

# The labelling configuration of Label Studio's own example of an interactive backend, shortened.
CONFIG = """<View>
  <BrushLabels name="tag" toName="image"><Label value="defect" background="#FFA39E"/></BrushLabels>
  <KeyPointLabels name="tag2" toName="image" smart="true"><Label value="defect"/></KeyPointLabels>
  <RectangleLabels name="tag3" toName="image" smart="true"><Label value="defect"/></RectangleLabels>
  <Image name="image" value="$image" zoom="true" zoomControl="true"/>
</View>"""


def keypoint(x: float, y: float, positive: bool = True) -> dict[str, Any]:
    return {
        "original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0,
        "value": {"x": x, "y": y, "width": 0.3, "keypointlabels": ["defect"]},
        "is_positive": positive, "id": "fBWv1t0S2L", "from_name": "tag2", "to_name": "image",
        "type": "keypointlabels", "origin": "manual",
    }  # fmt: skip


def rectangle(x: float, y: float, width: float, height: float) -> dict[str, Any]:
    return {
        "original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0,
        "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0,
                  "rectanglelabels": ["defect"]},
        "id": "a1", "from_name": "tag3", "to_name": "image", "type": "rectanglelabels",
        "origin": "manual",
    }  # fmt: skip


def asked(value: str, *regions: dict[str, Any], config: str = CONFIG, key: str = "image") -> Any:
    """A request as Label Studio's server sends it."""
    context = {"result": list(regions)} if regions else None
    return {
        "tasks": [{"id": 1, "data": {key: value}, "annotations": [], "predictions": []}],
        "project": "1.1700000000", "label_config": config,
        "params": {"login": None, "password": None, "context": context},
    }  # fmt: skip


@pytest.fixture
def media(tmp_path: Path) -> Path:
    """A folder of uploads, and a file beside it that nobody may have."""
    folder = tmp_path / "media"
    (folder / "upload" / "1").mkdir(parents=True)
    (folder / "upload" / "1" / "0123abcd-disc.png").write_bytes(png(disc()))
    (tmp_path / "secret.png").write_bytes(png(disc()))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


UPLOAD = "/data/upload/1/0123abcd-disc.png"


def test_label_studio_finds_it(nano: Tracker[Any]) -> None:
    ask = client("label-studio", nano)
    for path in ("/", "/health"):
        assert ask.get(path).json() == {"status": "UP", "model_class": "nano"}
    setup = {"project": "1.1700000000", "schema": CONFIG, "hostname": "http://localhost:8080",
             "access_token": "x", "extra_params": ""}  # fmt: skip
    assert ask.post("/setup", json=setup).json() == {"model_version": "pocketeye nano"}
    assert ask.post("/predict", json=asked(UPLOAD)).json() == {"results": []}


@pytest.mark.parametrize(
    "regions",
    [
        [keypoint(53, 54)],
        [keypoint(53, 54), keypoint(10, 10, positive=False)],
        [rectangle(36, 32, 34, 44)],
        [rectangle(36, 32, 34, 44), keypoint(53, 54)],
    ],
    ids=["click", "clicks", "box", "both"],
)
def test_label_studio_clicks_become_brushes(
    nano: Tracker[Any], media: Path, regions: list[dict[str, Any]]
) -> None:
    ask = client("label-studio", nano, images=media)
    answer = ask.post("/predict", json=asked(UPLOAD, *regions))
    assert answer.status_code == 200
    (prediction,) = answer.json()["results"]
    (region,) = prediction["result"]
    assert region["type"] == "brushlabels"
    assert (region["from_name"], region["to_name"]) == ("tag", "image")
    assert (region["original_width"], region["original_height"]) == SIZE
    assert region["value"]["brushlabels"] == ["defect"]
    assert region["value"]["format"] == "rle"
    assert is_disc(read_brush(region["value"]["rle"], SIZE).dense())
    assert 0 <= prediction["score"] <= 1
    assert prediction["model_version"] == "pocketeye nano"


@pytest.mark.parametrize("tag", ["PolygonLabels", "RectangleLabels"])
def test_label_studio_answers_by_its_configuration(
    nano: Tracker[Any], media: Path, tag: str
) -> None:
    config = CONFIG.replace("BrushLabels", "Choices").replace("RectangleLabels", "Choices")
    config = config.replace("<Image", f'<{tag} name="shape" toName="image"/><Image')
    ask = client("label-studio", nano, images=media)
    answer = ask.post("/predict", json=asked(UPLOAD, keypoint(53, 54), config=config)).json()
    (region,) = answer["results"][0]["result"]
    assert (region["type"], region["from_name"]) == (tag.lower(), "shape")
    value = region["value"]
    if tag == "PolygonLabels":
        corners = np.array(value["points"])
    else:
        start = np.array([value["x"], value["y"]])
        corners = np.stack([start, start + np.array([value["width"], value["height"]])])
    box = np.concatenate([corners.min(0), corners.max(0)]) * (*SIZE, *SIZE) / 100
    np.testing.assert_allclose(box, TRUTH, atol=4)


@pytest.mark.parametrize(
    "value",
    [
        "/data/upload/1/nowhere.png", "../secret.png", "/data/local-files/?d=../../secret.png",
        "link.png", "file:///etc/hostname", "", "http://localhost:8080/x.png", "s3://bucket/x.png",
        "/data/upload/1/..%2f..%2f..%2fsecret.png", "x\x00.png", "a" * 5000,
    ],
)  # fmt: skip
def test_label_studio_gets_no_other_image(nano: Tracker[Any], media: Path, value: str) -> None:
    ask = client("label-studio", nano, images=media)
    answer = ask.post("/predict", json=asked(value, keypoint(53, 54)))
    assert answer.status_code == 422
    assert "image" in answer.json()["error"] or "fetched" in answer.json()["error"]


def test_images_are_fetched_from_named_addresses_only(
    nano: Tracker[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Any] = []

    def fetch(address: str, **more: Any) -> bytes:
        fetched.append((address, more))
        return png(disc())

    monkeypatch.setattr(images, "fetch", fetch)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "k")
    ask = client("label-studio", nano, fetch_from=["http://localhost:8080/"])
    for value in (UPLOAD, "http://localhost:8080/data/x.png"):
        answer = ask.post("/predict", json=asked(value, keypoint(53, 54)))
        assert answer.status_code == 200
    key = {"headers": {"Authorization": "Token k"}, "stay": True}
    assert fetched == [
        (f"http://localhost:8080{UPLOAD}", key), ("http://localhost:8080/data/x.png", key),
    ]  # fmt: skip
    for value in (
        "http://localhost:8081/x.png", "https://localhost:8080/x.png", "http://169.254.169.254/x",
        "http://localhost:8080@evil.example/x.png", "http://localhost:8080.evil.example/x.png",
        "http://[::1/x", "//evil.example/x.png",
    ):  # fmt: skip
        answer = ask.post("/predict", json=asked(value, keypoint(53, 54)))
        assert answer.status_code == 422, value
    assert len(fetched) == 2
    with pytest.raises(InvalidValue, match="no address"):
        ImageSource(None, ["localhost:8080"])
    with pytest.raises(MissingFile, match="nowhere"):
        client("label-studio", nano, images=Path("nowhere"))


def test_images_in_the_task_itself(nano: Tracker[Any]) -> None:
    ask = client("label-studio", nano)
    value = f"data:image/png;base64,{b64(disc())}"
    answer = ask.post("/predict", json=asked(value, keypoint(53, 54)))
    assert len(answer.json()["results"][0]["result"]) == 1


VIDEO_CONFIG = """<View>
  <Labels name="videoLabels" toName="video" allowEmpty="true"><Label value="Ball"/></Labels>
  <Video name="video" value="$video" framerate="25.0"/>
  <VideoRectangle name="box" toName="video" smart="true"/>
</View>"""


def test_label_studio_tracks_a_box(
    nano: Tracker[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_studio_video, "FRAMES_AHEAD", 3)
    frames = [Image.fromarray(disc(3 * n)) for n in range(6)]
    frames[0].save(tmp_path / "v.gif", save_all=True, append_images=frames[1:], duration=40)
    box = {"frame": 2, "x": 38, "y": 33, "width": 32, "height": 42, "rotation": 0, "enabled": True}
    region = {
        "original_width": SIZE[0], "original_height": SIZE[1], "id": "obj1", "from_name": "box",
        "to_name": "video", "type": "videorectangle", "origin": "manual",
        "value": {"framesCount": 6, "duration": 0.24, "sequence": [box], "labels": ["Ball"]},
    }  # fmt: skip
    ask = client("label-studio", nano, images=tmp_path)
    said = asked("/data/local-files/?d=v.gif", region, config=VIDEO_CONFIG, key="video")
    answer = ask.post("/predict", json=said)
    assert answer.status_code == 200, answer.text
    (found,) = answer.json()["results"][0]["result"]
    assert (found["id"], found["type"], found["from_name"]) == ("obj1", "videorectangle", "box")
    assert found["value"]["labels"] == ["Ball"]
    sequence = found["value"]["sequence"]
    assert [step["frame"] for step in sequence] == [2, 3, 4, 5]
    assert sequence[0] == box
    # Frame 5 counts from 1: the disc has moved by 12 pixels.
    np.testing.assert_allclose(sequence[-1]["x"], 100 * (60 + 12) / SIZE[0], atol=4)
    assert sequence[-1]["time"] == pytest.approx(4 / 25)
    assert ask.post("/predict", json=asked("v.gif", config=VIDEO_CONFIG)).json() == {"results": []}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"label_config": "<View"}, "no XML"),
        ({"label_config": "<View><Text name='t' value='$t'/></View>"}, "no tag"),
        ({"label_config": None}, "without its labelling configuration"),
        ({"label_config": '<!DOCTYPE a [<!ENTITY b "x">]><View>&b;</View>'}, "entit"),
        ({"tasks": "x"}, "should be a list"),
        ({"tasks": [1]}, "should be an object"),
        ({"params": {"context": {"result": [1]}}}, "a region should be an object"),
        ({"params": {"context": {"result": [{"type": "keypointlabels"}]}}}, "value should be"),
        ({"params": {"context": {"result": [keypoint(53, 54, positive=False)]}}}, "nothing shows"),
        ({"params": {"context": {"result": [keypoint(float("1e9"), 1)]}}}, "numbers"),
    ],
)
def test_bad_requests_are_one_sentence(
    nano: Tracker[Any], media: Path, change: dict[str, Any], word: str
) -> None:
    ask = client("label-studio", nano, images=media)
    answer = ask.post("/predict", json={**asked(UPLOAD, keypoint(53, 54)), **change})
    assert answer.status_code == 422
    assert word in answer.json()["error"]
    broken = ask.post("/predict", content="{", headers={"content-type": "application/json"})
    assert broken.status_code == 400


# --- CVAT -----------------------------------------------------------------------------------------


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


# --- X-AnyLabeling --------------------------------------------------------------------------------


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


# --- who may ask, and how much --------------------------------------------------------------------


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
