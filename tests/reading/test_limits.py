"""Pipes, devices, folders and bombs are refused by a sentence and at once, wherever a file is opened."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from pocketeye.cli._config import load_config
from pocketeye.data.detection.samples import load_detection
from pocketeye.data.semantic.class_maps import read_class_map
from pocketeye.data.vos.layouts import load_videos
from pocketeye.errors import InvalidValue, MissingFile, UserError
from pocketeye.latency.table import LatencyTable
from pocketeye.models import create_model, load_space
from pocketeye.models.architecture import Architecture
from pocketeye.models.reference import resolve
from pocketeye.models.weights.load import read_state_dict
from pocketeye.predicting.class_names import read_classes
from pocketeye.predicting.info import ModelInfo
from pocketeye.reading import parse_json, parse_yaml, read_csv, read_text, require_bounded
from pocketeye.runtimes.base import Artifact
from pocketeye.runtimes.torch.pt2 import load_pt2
from pocketeye.tracking import open_video
from pocketeye.training.classify.recipe import ClassifyRecipe
from tests.reading.samples import manifest, save_clip, save_voc, save_yolo

OPENERS: dict[str, Callable[[Path], object]] = {
    "text.txt": read_text,
    "names.txt": read_classes,
    "space.yaml": load_space,
    "recipe.yaml": ClassifyRecipe.load,
    "options.yaml": load_config,
    "classes.yaml": read_class_map,
    "toy.latency.json": LatencyTable.load,
    "architecture.json": Architecture.load,
    "weights.pt": read_state_dict,
    "weights.safetensors": read_state_dict,
    "network.pt2": load_pt2,
    "clip.mp4": open_video,
    "data.yaml": load_detection,
    "coco.json": load_detection,
}


@pytest.mark.parametrize("name", OPENERS)
def test_what_is_no_file_is_refused_at_once(name: str, tmp_path: Path) -> None:
    pipe, folder, device = (tmp_path / kind / name for kind in ("pipe", "folder", "device"))
    pipe.parent.mkdir()
    os.mkfifo(pipe)  # nobody writes into it: opening it would wait for ever
    if name != "clip.mp4" and not name.startswith(("data", "coco")):  # these may be folders
        folder.mkdir(parents=True)
    device.parent.mkdir()
    device.symlink_to("/dev/zero")
    for path in (pipe, device, *([folder] if folder.is_dir() else [])):
        with pytest.raises(UserError) as caught:
            OPENERS[name](path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError):
        OPENERS[name](tmp_path / "nothing" / name)


@pytest.mark.parametrize("name", OPENERS)
def test_a_bomb_is_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name.endswith(".yaml"):
        lines = ["names: &a0 [" + ",".join(["x"] * 10) + "]"]
        lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
        path.write_text("\n".join(lines))
    elif name.endswith((".pt", ".pt2")):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("m/data.pkl", bytes(8 << 20))
    elif name.endswith(".mp4"):
        path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    else:
        path.write_bytes(b"[" * 200_000)
    if name.endswith(".txt"):
        return  # no structure that could unfold
    with pytest.raises(InvalidValue) as caught:
        OPENERS[name](path)
    assert name in str(caught.value)


def test_yaml_of_people_is_read() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x") == {"a": [1, 2], "b": [1, 2]}
    assert parse_yaml("names: [no, on]", as_written=True) == {"names": ["no", "on"]}
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    "text",
    ["[" * 70 + "]" * 70, "&a [*a]", "!!int ''", "2024-13-45", "!!timestamp x", "a: [", "1" * 5000],
)
def test_odd_yaml_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_yaml(text)


def test_odd_json_is_a_sentence() -> None:
    for text in ("[" * 100_000, "1" * 5000, b"\xff\xfe{", ""):
        with pytest.raises(ValueError, match=r"\w"):
            parse_json(text)


def test_a_csv_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(InvalidValue, match=r"t\.csv is damaged: line 3 has 1 cells"):
        read_csv(path)


def test_encodings(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbfcat\n")
    assert read_text(path) == "cat\n"
    path.write_bytes("cat".encode("utf-16"))
    with pytest.raises(InvalidValue, match=r"no text in UTF-8 .it is UTF-16"):
        read_text(path)
    with pytest.raises(MissingFile, match="there is no file"):
        read_text(tmp_path / "nothing")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:\\x", "..\\x"])
def test_members_that_leave_an_archive(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, b"x")
    with zipfile.ZipFile(path) as archive, pytest.raises(InvalidValue, match="leaves the archive"):
        require_bounded(path, archive, 100)


def test_a_description_leads_to_no_other_file(tmp_path: Path) -> None:
    for name in (str(tmp_path), "../other", "model.json"):
        info = ModelInfo.default("fbnet_a", ("a", "b"), 3, 32).to_dict()
        (tmp_path / "model.json").write_text(json.dumps({**info, "name": name}))
        with pytest.raises(InvalidValue, match="is no model"):
            create_model(tmp_path)


def test_an_artefact_has_its_file_in_its_folder(tmp_path: Path) -> None:
    for file in ("../model.onnx", "/etc/passwd", "a/b", "", "..", "..\\x"):
        (tmp_path / "artifact.json").write_text(json.dumps({**manifest(), "file": file}))
        with pytest.raises(InvalidValue, match="'file' should be a name"):
            Artifact.load(tmp_path)


def test_a_name_that_no_system_takes() -> None:
    for name in ("a" * 300, "/".join(["a" * 200] * 30)):
        with pytest.raises(UserError):
            resolve(name)
        with pytest.raises(UserError):
            open_video(name)


@pytest.mark.parametrize("name", ["../outside.png", "a/../../outside.png", "{outside}", "b" * 300])
def test_coco_names_outside_of_the_set(name: str, tmp_path: Path) -> None:
    outside, root = tmp_path / "outside.png", tmp_path / "set"
    root.mkdir()
    for path in (outside, root / "0.png"):
        Image.new("RGB", (8, 6)).save(path)
    rows = [{"id": 1, "file_name": "0.png"}, {"id": 2, "file_name": name.format(outside=outside)}]
    boxes = [{"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 4, 4]} for i in (1, 2)]
    content = {"images": rows, "annotations": boxes, "categories": [{"id": 1, "name": "a"}]}
    (root / "coco.json").write_text(json.dumps(content))
    found = load_detection(root / "coco.json")
    assert [found.name(index) for index in range(len(found))] == ["0.png"]
    assert any(rows[1]["file_name"][:20] in text for text in found.problems)


def test_lists_name_nothing_outside_of_their_set(tmp_path: Path) -> None:
    yolo, voc, davis = (tmp_path / name for name in ("yolo", "voc", "davis"))
    for folder, save in ((yolo, save_yolo), (voc, save_voc), (davis, save_clip)):
        folder.mkdir()
        save(folder)
    Image.new("RGB", (8, 6)).save(tmp_path / "outside.png")
    save_clip(tmp_path / "other")
    (yolo / "train.txt").write_text(
        "images/0.png\n../outside.png\n" + str(tmp_path / "outside.png")
    )
    found = load_detection(yolo / "data.yaml", "val")
    assert [Path(found.name(i)).name for i in range(len(found))] == ["0.png"]
    assert any("outside.png" in text for text in found.problems)
    (voc / "ImageSets" / "Main" / "train.txt").write_text("0\n../../outside\n")
    found = load_detection(voc, "train", layout="voc")
    assert [Path(found.name(i)).name for i in range(len(found))] == ["0.png"]
    assert any("outside" in text for text in found.problems)
    (davis / "ImageSets" / "train.txt").write_text("clip\n../../other/JPEGImages/480p/clip\n")
    videos = load_videos(davis, "train")
    assert [video.name for video in videos] == ["clip"]
    (davis / "ImageSets" / "train.txt").write_text(
        "../../../other/JPEGImages/480p/secret/00000.jpg\n"
    )
    with pytest.raises(InvalidValue, match="secret"):
        load_videos(davis, "train")
