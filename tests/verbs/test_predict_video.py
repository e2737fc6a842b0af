"""`pocketeye predict` on videos, as a user calls it."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.predicting.info import ModelInfo
from pocketeye.predicting.predictor import Predictor
from pocketeye.predicting.video import ClassLook
from pocketeye.results import Result
from pocketeye.tracking import open_video, open_writer
from pocketeye.verbs.predict.inputs import names_videos
from pocketeye.verbs.predict.verb import predict
from pocketeye.verbs.predict.video_result import VideoPredictResult
from tests.tracking.trackers import moving
from tests.training.test_dense_predictor import write_run

NUM_FRAMES = 3


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("clips/disc.mp4")
    with open_writer(path, fps=10) as writer:
        for image in moving(NUM_FRAMES):
            writer.write(Result(size=(image.shape[1], image.shape[0]), image=image))
    return path


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("task", ["detect", "instance", "semantic"])
def test_every_frame_is_drawn_and_listed(clip: Path, task) -> None:
    write_run(Path("run"), task)
    threshold = {} if task == "semantic" else {"score_threshold": 0.2}
    result = predict("run", [str(clip)], device="cpu", **threshold)
    assert isinstance(result, VideoPredictResult)
    endings = [".mp4", ".csv"] + ([".txt"] if task != "semantic" else [])
    assert result.written() == [Path(f"out/predict/run/disc{ending}") for ending in endings]
    with open_video("out/predict/run/disc.mp4") as drawn, open_video(clip) as plain:
        assert (drawn.num_frames, drawn.fps, drawn.size) == (NUM_FRAMES, 10, plain.size)
        assert abs(drawn[1].astype(int) - plain[1]).mean() > 3, "something is drawn"
    rows = rows_of(Path("out/predict/run/disc.csv"))
    assert {row["frame"] for row in rows} == {"0", "1", "2"}
    assert {row["label"] for row in rows} <= {"a", "b", "c"}
    assert result.videos[0].num_frames == NUM_FRAMES
    assert f"{NUM_FRAMES} frames: " in result.lines()[-1]
    if task == "semantic":
        area = sum(float(row["area"]) for row in rows if row["frame"] == "0")
        assert area == plain.size[0] * plain.size[1]
        return
    first = [row["id"] for row in rows if row["frame"] == "0"]
    assert len(set(first)) == len(first)
    assert {row["id"] for row in rows if row["frame"] == "2"} & set(first), "tracks go on"
    lines = Path("out/predict/run/disc.txt").read_text().splitlines()
    assert len(lines) == len(rows)
    assert result.next_commands() == [f"pocketeye track {clip} --detect run"]
    empty = replace(result, videos=(replace(result.videos[0], found="nothing"),))
    assert empty.next_commands() == []  # there is nothing to follow
    with pytest.raises(InvalidValue, match=r"disc\.mp4 is already there: replace it"):
        predict("run", [str(clip)], device="cpu")


def test_a_folder_of_clips_with_a_bad_one(clip: Path, capsys) -> None:
    write_run(Path("run"), "detect")
    (clip.parent / "bad.mp4").write_bytes(b"no video")
    assert main(["predict", "run", "clips", "--device", "cpu", "--out", "found", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [video["video"] for video in said["videos"]] == [str(clip)]
    assert said["failed"][0].startswith("clips/bad.mp4: ")
    assert (Path("found") / "disc.mp4").is_file()
    assert main(["predict", "run", str(clip), "--smooth", "3"]) == 2
    assert "--smooth means nothing to a detector" in capsys.readouterr().err


class Fake(Predictor):
    """Gives the logits of a list, one image after another."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__(ModelInfo.default("fake", ("cat", "dog"), 3, 16))
        self._rest = iter(logits)

    def logits(self, x: torch.Tensor) -> np.ndarray:
        assert x.shape == (1, 3, 16, 16)
        return np.array([next(self._rest)], np.float32)


def test_classes_of_frames_and_their_mean() -> None:
    image = moving(1)[0]
    logits = [[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    alone = ClassLook(Fake(logits), topk=1)
    labels = [alone(image, i).labels for i in range(3)]
    assert labels == [("cat",), ("dog",), ("dog",)]
    smooth = ClassLook(Fake(logits), topk=2, smooth=2)
    results = [smooth(image, i) for i in range(3)]
    assert [result.labels for result in results] == [("cat",), ("cat",), ("dog",)]
    shares = [np.exp(row) / np.exp(row).sum() for row in np.array(logits)]
    expected = (shares[0] + shares[1]) / 2
    assert smooth.predictions[1].probabilities == pytest.approx(sorted(expected, reverse=True))
    assert results[0].size == (image.shape[1], image.shape[0])
    with pytest.raises(InvalidValue, match="smooth"):
        ClassLook(Fake([]), smooth=0)


def test_what_is_a_video(clip: Path) -> None:
    Path("photos").mkdir()
    Image.new("RGB", (8, 8)).save("photos/a.png")
    Path("photos/b.mp4").write_bytes(b"")
    videos = [str(clip), "clips", "clips/*.mp4", "rtsp://camera/1", "http://host/a.mp4", "new.MOV"]
    assert all(names_videos([name]) for name in videos)
    images = ["photos", "photos/a.png", "photos/*", "http://host/a.jpg", "moves.gif", "-", "0"]
    assert not any(names_videos([name]) for name in images)
    with pytest.raises(InvalidValue, match=r"disc\.mp4 is a video and photos/a\.png is none"):
        names_videos([str(clip), "photos/a.png"])
