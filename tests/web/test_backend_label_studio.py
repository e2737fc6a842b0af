"""Label Studio is answered as by an ML backend; the requests are those that it sends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette")
pytest.importorskip("httpx")

from PIL import Image

from pocketeye.data.labelled.brush import read_brush
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.tracking.video.tracker import Tracker
from pocketeye.web.backends import images, label_studio_video
from pocketeye.web.backends.images import ImageSource
from tests.web.backend_client import SIZE, TRUTH, b64, client, disc, is_disc, png

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
    region: dict[str, Any] = {
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
    # Two objects that were drawn in different frames are both followed from their own.
    late = {**region, "id": "obj2", "value": {**region["value"], "sequence": [{**box, "frame": 4}]}}
    said = asked("v.gif", region, late, config=VIDEO_CONFIG, key="video")
    both = ask.post("/predict", json=said).json()["results"][0]["result"]
    assert [[step["frame"] for step in each["value"]["sequence"]] for each in both] == [
        [2, 3, 4, 5, 6], [4, 5, 6],
    ]  # fmt: skip


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
