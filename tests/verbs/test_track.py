"""`pocketeye track` as a user calls it, with a small tracker of random weights in a file."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import pocketeye
from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.jobs.record import TrackedVideo
from pocketeye.models import create_tam
from pocketeye.results import color_of
from pocketeye.tracking import load_tracker
from pocketeye.tracking.video.frame_prompts import parse_prompts
from pocketeye.verbs.track import track
from pocketeye.verbs.track.result import TrackResult
from tests.tracking.trackers import moving

NUM_FRAMES = 5
MODEL = "pocketeye_tam_pico"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = create_tam(MODEL)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(8)
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_file(model.state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, frame in enumerate(moving(NUM_FRAMES)):
        Image.fromarray(frame).save(frames / f"{number}.png")
    return frames


def test_json(folder: Path, weights: Path, tmp_path: Path, capsys) -> None:
    outputs = [tmp_path / name for name in ("out.mp4", "out.json", "labels")]
    arguments = ["track", str(folder), "--point", "30,40", "--object", "2:90,20@2"]
    arguments += ["--model", MODEL, "--checkpoint", str(weights), "--device", "cpu", "--json"]
    for path in outputs:
        arguments += ["--out", str(path)]
    assert main(arguments) == 0
    data = json.loads(capsys.readouterr().out)
    (video,) = data["videos"]
    ids = [[row["id"] for row in frame["objects"]] for frame in video["frames"]]
    assert ids == [[1], [1], [1, 2], [1, 2], [1, 2]]
    assert [frame["frame"] for frame in video["frames"]] == list(range(NUM_FRAMES))
    assert set(video["frames"][0]["objects"][0]) == {
        "id", "label", "score", "confidence", "x", "y", "width", "height", "area",
    }  # fmt: skip
    assert data["files"] == video["files"] == [str(path) for path in outputs]
    assert video["fps"] == pytest.approx(1000 / video["ms_per_frame"], rel=1e-3)
    with av.open(str(outputs[0])) as clip:
        assert len(list(clip.decode(video=0))) == NUM_FRAMES
    assert len(json.loads(outputs[1].read_text())["images"]) == NUM_FRAMES
    assert len(list(outputs[2].iterdir())) == NUM_FRAMES
    label = np.asarray(Image.open(outputs[2] / "00004.png"))
    areas = {row["id"]: row["area"] for row in video["frames"][4]["objects"]}
    assert (label == 1).sum() == areas[1]
    # nothing is replaced unasked
    assert main(arguments) == 2
    assert "already there" in capsys.readouterr().err


def test_words(folder: Path, weights: Path, tmp_path: Path) -> None:
    result = track(
        str(folder), box="10,20,60,70", point=["100,70:0"], frame=1, model=MODEL,
        checkpoint=weights, out=[tmp_path / "out.mp4"], device="cpu",
    )  # fmt: skip
    (video,) = result.videos
    assert len(video.frames) == NUM_FRAMES
    assert video.frames[0]["objects"] == []
    lines = result.lines()
    seen = sum(row["area"] > 0 for frame in video.frames for row in frame["objects"])
    assert seen > 0
    assert lines[1].split()[:4] == ["1", str(seen), "of", "4"]
    assert lines[-1].startswith("5 frames of 120x80: ")
    assert lines[-1].endswith("fps, measured here on cpu")
    assert result.next_commands() == [
        f"pocketeye track {folder} --object 1:10,20,60,70@1 --object 1:100,70:0@1 "
        f"--checkpoint {weights} --model {MODEL} --out out/track/frames.json"
    ]


def test_a_correction_replaces_the_answer_of_its_frame(
    folder: Path, weights: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def areas(*objects: str) -> list[int]:
        result = track(
            str(folder), object=list(objects), model=MODEL, checkpoint=weights, device="cpu",
            overwrite=True,
        )  # fmt: skip
        assert result.written() == [Path("out/track/frames.mp4")]
        return [frame["objects"][0]["area"] for frame in result.videos[0].frames]

    once, twice = areas("1:30,40"), areas("1:30,40", "1:5,5,115,75@3")
    assert once[:3] == twice[:3]
    assert once[3] != twice[3]


@pytest.mark.parametrize("model", ["efficienttam_ti_512x512", MODEL])
def test_no_weights(folder: Path, tmp_path: Path, monkeypatch, capsys, model: str) -> None:
    """It says so, and never draws random masks as if they meant something."""
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path / "none"))
    out = tmp_path / "out.mp4"
    arguments = ["track", str(folder), "--point", "30,40", "--model", model, "--out", str(out)]
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: there are no weights of {model}")
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing says what to track"),
        (["--point", "30"], "a point is x,y, or x,y:0 beside the object, got '30'"),
        (["--point", "30,4:2"], "got '30,4:2'"),
        (["--box", "1,2,3"], "a box is x0,y0,x1,y1"),
        (["--object", "dog:1,2"], "an object is ID:x,y@FRAME"),
        (["--object", "2:400"], "got '2:400'"),
        (["--object", "2:1,2@9"], "no frame 9 to prompt in: its 5 frames are 0 to 4"),
        (["--point", "300,40"], "the point 300,40 is outside the image"),
        (["--point", "-3,40"], "the point -3,40 is outside the image"),
        (["--point=-3,40:0"], "the point -3,40 is outside the image"),
        (["--box", "-3,-4,9,9"], "the box -3,-4,9,9 is not inside the image"),
    ],
)
def test_mistakes(folder: Path, weights: Path, tmp_path: Path, capsys, options, said) -> None:
    out = tmp_path / "out.mp4"
    arguments = ["track", str(folder), *options, "--model", MODEL, "--checkpoint", str(weights)]
    assert main([*arguments, "--device", "cpu", "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.glob("out*"))


def test_many_videos_and_one_that_is_none(
    folder: Path, weights: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "broken.avi").write_bytes(b"no video")
    arguments = ["track", str(folder), str(tmp_path / "broken.avi"), "--point", "30,40"]
    arguments += ["--model", MODEL, "--checkpoint", str(weights), "--device", "cpu"]
    arguments += ["--name", "1=disc", "--out", str(tmp_path / "boxes.txt")]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "1 of 2 videos failed" in said
    assert "broken.avi" in said.partition("failed")[2]
    assert (tmp_path / "boxes" / "frames.txt").is_file()
    assert (tmp_path / "boxes" / "frames.labels.txt").read_text() == "disc\n"
    assert main([*arguments, "--resume", "--json"]) == 1
    (video,) = json.loads(capsys.readouterr().out)["videos"]
    assert video["resumed"] is True
    assert len(video["frames"]) == NUM_FRAMES


def test_the_command_that_goes_on_with_a_list(
    folder: Path, weights: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.avi").write_bytes(b"no video")
    Path("jobs.csv").write_text(f'video,point\n{folder},"30,40"\nbroken.avi,\n')
    options = ["--stop", "4", "--frame", "1", "--hole-area", "3", "--name", "1=disc"]
    arguments = ["track", "--jobs", "jobs.csv", *options, "--out", "o.txt", "--model", MODEL]
    arguments += ["--checkpoint", str(weights), "--device", "cpu"]
    assert main([*arguments, "--json"]) == 1
    first = json.loads(capsys.readouterr().out)
    # The row says where, the command until when, in which frame and what it is called.
    assert (first["counts"]["done"], first["frames"]) == (1, 4)
    alone = ["track", str(folder), "--point", "30,40", *options, "--out", "alone.txt"]
    assert main([*alone, *arguments[arguments.index("--model") :]]) == 0
    assert Path("o/frames.txt").read_text() == Path("alone.txt").read_text()
    assert Path("o/frames.labels.txt").read_text() == "disc\n"
    capsys.readouterr()
    assert main(arguments) == 2  # the manifest is there
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 1
    following = capsys.readouterr().out.partition("next ")[2].splitlines()[0]
    assert main(shlex.split(following)[1:]) == 1
    assert "1 of 2 videos are tracked, 0 of them now" in capsys.readouterr().out


def test_a_doubt_about_several_videos_is_said_once() -> None:
    seen = {"id": 1, "label": None, "score": 1.0, "confidence": None, "area": 9}
    frames = ({"frame": 0, "objects": [seen]},)
    videos = tuple(
        TrackedVideo(video=name, size=(4, 4), frames=frames, seconds=1.0, device="cpu")
        for name in ("a.mp4", "b.mp4")
    )
    assert videos[0].doubts
    beware = [line for line in TrackResult(model=MODEL, videos=videos).lines() if "beware" in line]
    assert len(beware) == len(videos[0].doubts)
    assert "a.mp4, b.mp4: " in beware[0]
    alone = TrackResult(model=MODEL, videos=videos[:1]).lines()
    assert alone[1].startswith("     1 ")  # numbers lean to the right, as their header is wide
    assert "a.mp4" not in "".join(alone)


def test_a_frame_with_its_coordinates(folder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = track(str(folder), frame=2, show=True, point=["30,40"], object=["2:5,5@0"])
    assert result.shown == (Path("out/track/frames_00002.png"),)
    with Image.open(result.shown[0]) as image:
        shown = np.asarray(image.convert("RGB")).astype(int)
    scale = 6  # of 120x80, to be at least 720 pixels wide
    margin = (shown.shape[1] - 120 * scale) // 2
    inside = shown[margin : margin + 80 * scale, margin : margin + 120 * scale]
    frame = moving(3)[2].astype(int)
    # between the lines of the grid are the frame's own pixels
    assert abs(inside[3::scale, 3::scale] - frame).mean() < 3
    assert tuple(inside[40 * scale + 3, 30 * scale + 10]) == color_of(1), "a ring round the point"
    assert result.next_commands() == [f"pocketeye track {folder} --frame 2 --point X,Y"]
    with pytest.raises(InvalidValue, match="no frame 7"):
        track(str(folder), frame=7, show=True)
    with pytest.raises(InvalidValue, match="an image of each video: give a folder"):
        track([str(folder), str(folder)], show=True, out=tmp_path / "one.png", overwrite=True)


def test_frames_that_are_in_memory(weights: Path, tmp_path: Path) -> None:
    result = pocketeye.track(
        np.stack(moving(3)), point=(30, 40), name="1=disc", model=MODEL, checkpoint=weights,
        device="cpu", out=str(tmp_path / "rows.csv"),
    )  # fmt: skip
    assert [len(frame["objects"]) for frame in result.videos[0].frames] == [1, 1, 1]
    header, *rows = (tmp_path / "rows.csv").read_text().splitlines()
    assert header == "frame,id,label,score,x,y,width,height,area"
    assert all(row.split(",")[1:3] == ["1", "disc"] for row in rows)
    (command,) = result.next_commands()
    assert command.startswith("pocketeye track VIDEO --object 1:30,40@0 --name 1=disc")


def test_options_of_a_detector_alone(folder: Path, capsys) -> None:
    assert main(["track", str(folder), "--classes", "dog"]) == 2
    assert "--classes belongs to a detector: name one with --detect" in capsys.readouterr().err
    assert main(["track", str(folder), "--detect", "pocketeye_tam_nano"]) == 2
    assert "--detect" in capsys.readouterr().err


def test_no_video(weights: Path, tmp_path: Path, capsys) -> None:
    gone = tmp_path / "gone.mp4"
    assert main(["track", str(gone), "--point", "3,4", "--checkpoint", str(weights)]) == 2
    assert f"there is no file or folder {gone}" in capsys.readouterr().err


def test_prompts_are_in_order():
    found = parse_prompts(["1,2", "3,4", "5,6:0"], None, 3, ["2:7,8@1", "1:0,0,9,9@3"])
    assert [(p.frame, p.object_id) for p in found] == [(1, 2), (3, 1)]
    assert (found[1].labels, found[1].box) == ([1, 1, 0], (0, 0, 9, 9))
    assert parse_prompts([(1, 2)], [0, 0, 9, 9.5], 0, []) == parse_prompts(
        ["1,2"], "0,0,9,9.5", 0, []
    )
    with pytest.raises(InvalidValue, match="object 2 has two boxes in frame 0"):
        parse_prompts([], None, 0, ["2:0,0,9,9", "2:0,0,8,8"])


def test_the_face_of_the_package():
    assert pocketeye.track.__wrapped__ is track  # with its arguments brought to their types
    assert {"load_tracker", "track"} <= set(dir(pocketeye))
    assert pocketeye.load_tracker is load_tracker
