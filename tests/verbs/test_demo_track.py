"""The tracker's stage of the demo, with weights that are made here: its masks mean nothing."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pocketeye.cli import main
from pocketeye.data.clips.flower import SIZE, FlowerClip
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.tam.published import DEFAULT_TRACKER
from pocketeye.results import CompactMask
from pocketeye.tracking import demo as _demo_track, open_video
from pocketeye.tracking.demo import TrackDemo, track_demo
from pocketeye.verbs.demo.report import _track_facts, _track_step


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> int:
    """The same flight in six frames."""
    monkeypatch.setattr(FlowerClip, "num_frames", 6)
    return 6


@pytest.fixture
def truth(short: int) -> list[CompactMask]:
    return [CompactMask.from_dense(mask) for _, mask in FlowerClip()]


def page_of(tracked: TrackDemo) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """The step of the report, and its facts."""
    result: Any = SimpleNamespace(
        tracked=tracked,
        measured=SimpleNamespace(written=lambda: [Path("table.json")]),
        searched=SimpleNamespace(target_ms=1.0, out=Path("search"), data="blood-cells"),
        exported=SimpleNamespace(artifact=SimpleNamespace(folder=Path("artefact"))),
        seconds={"track": 2.0},
        epochs=(4, 3),
    )
    return _track_step(result), _track_facts(result)


@pytest.mark.usefixtures("bundled")
def test_the_stage(tmp_path: Path, short: int) -> None:
    result = track_demo(tmp_path)
    assert isinstance(result, TrackDemo)
    assert len(result.ious) == short
    assert all(0 <= iou <= 1 for iou in (*result.ious, result.segment_iou, result.mean_iou))
    assert np.asarray(Image.open(result.segment_png)).shape == (427, 640, 3)
    for name in ("clip.mp4", "track.mp4"):
        with open_video(tmp_path / name) as video:
            frames = list(video)
        assert len(frames) == short
        assert frames[0].shape == (SIZE[1], SIZE[0], 3)
    assert set(result.written()) <= set(tmp_path.iterdir())
    step, [(_, fact)] = page_of(result)
    kinds = [figure["kind"] for figure in step["figures"]]
    assert kinds == ["image/png", "video/mp4", "image/png"]
    assert fact == f"{result.mean_iou:.2f}"
    assert fact in step["text"]
    # the commands of the report do the same
    segment, track = (shlex.split(command)[1:] for command in result.commands)
    assert main([*segment, "--out", str(tmp_path / "again.png")]) == 0
    assert (tmp_path / "again.png").read_bytes() == result.segment_png.read_bytes()
    assert main([*track, "--out", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").is_file()


def test_the_weights_that_come_along_follow_the_flower(tmp_path: Path) -> None:
    """Trained ones: they follow it from one click, which a mask that stays does not."""
    result = track_demo(tmp_path)
    assert result.segment_iou > 0.5
    assert min(result.ious) > 0.6
    assert result.mean_iou > 0.8 > result.still_iou + 0.2


@pytest.mark.usefixtures("bundled")
def test_scores(tmp_path: Path, truth: list[CompactMask], monkeypatch: pytest.MonkeyPatch) -> None:
    """A perfect tracker scores 1, and one that never moves what a mask that stays scores."""
    image = FlowerClip()[0][0]

    def scored(masks: list[CompactMask]) -> TrackDemo:
        found = [(image, mask) for mask in masks]
        monkeypatch.setattr(_demo_track, "_track", lambda *_: (found, 0.6))
        result = track_demo(tmp_path)
        assert isinstance(result, TrackDemo)
        return result

    perfect = scored(truth)
    assert perfect.mean_iou == 1
    assert perfect.ms_per_frame == pytest.approx(100)
    assert "1.00 on average over 6 frames, 1.00 in the worst" in perfect.lines()[1]
    still = scored([truth[0]] * len(truth))
    assert still.mean_iou == still.still_iou < 0.5
    assert f"{min(still.ious):.2f} in the worst" in still.lines()[1]


def test_without_weights_nothing_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pocketeye.models.tam.published._BUNDLED", tmp_path / "nowhere")
    with pytest.raises(MissingFile, match=f"there are no weights of {DEFAULT_TRACKER}"):
        track_demo(tmp_path)
    assert not list(tmp_path.iterdir())


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    with pytest.raises(InvalidValue, match="truncated or no checkpoint"):
        track_demo(tmp_path, checkpoint=tmp_path / "w.safetensors")
