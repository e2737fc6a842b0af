"""One clear sentence for each mistake, after which the session goes on as if nothing had been said."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from pocketeye.errors import InvalidType, InvalidValue, MissingFile, UserError
from pocketeye.models.tam.checkpoints import PUBLISHED
from pocketeye.tracking import TorchEngine, load_tracker
from tests.tracking.trackers import HEIGHT, WIDTH, moving

FRAMES = moving(6)
POINT = [[30, 40]]
MASK = np.ones((HEIGHT, WIDTH), bool)


@pytest.mark.parametrize(
    ("kind", "prompt", "said"),
    [
        (InvalidValue, {"points": [[WIDTH, 3]]}, "point 120,3 is outside the image of 120x80"),
        (InvalidValue, {"points": [[3, -1]]}, "outside the image"),
        (InvalidValue, {"points": [[1, 2, 3]]}, r"points must have the shape \(N, 2\).* got \(1, 3\)"),
        (InvalidType, {"points": "here"}, "got 'here'"),
        (InvalidValue, {"points": [[float("nan"), 3]]}, "finite"),
        (InvalidValue, {"points": POINT, "labels": [1, 0]}, "2 labels for 1 points"),
        (InvalidValue, {"points": POINT, "labels": [2]}, r"1 \(in the object\) or 0"),
        (InvalidValue, {"labels": [1]}, "give points= as well"),
        (InvalidValue, {"points": np.zeros((0, 2))}, "nothing points at the object"),
        (InvalidValue, {}, "give points=, box= or mask="),
        (InvalidValue, {"box": [50, 10, 20, 40]}, "x0 < x1 and y0 < y1"),
        (InvalidValue, {"box": [10, 10, 130, 40]}, "not inside the image"),
        (InvalidValue, {"box": [10, 10, 40]}, "x0, y0, x1, y1"),
        (InvalidValue, {"mask": MASK.T}, r"frames are 120x80: expected \(80, 120\)"),
        (InvalidType, {"mask": MASK.astype(np.float32)}, "got float32: compare it with a threshold"),
        (InvalidType, {"mask": "mask.png"}, "got str"),
        (InvalidValue, {"mask": MASK, "points": POINT}, "without points"),
        (InvalidValue, {"points": POINT, "frame": 6}, "no frame 6: its 6 frames are 0 to 5"),
        (InvalidValue, {"points": POINT, "frame": -1}, "counted from 0, got -1"),
        (InvalidType, {"points": POINT, "frame": 1.5}, "whole number"),
        (InvalidValue, {"object_id": 0, "points": POINT}, "from 1 up, got 0"),
        (InvalidType, {"object_id": "dog", "points": POINT}, "got 'dog'"),
        (InvalidValue, {"object_id": 2, "points": POINT}, "object 2 was removed from this session"),
        (InvalidValue, {"object_id": 1, "box": [1, 1, 9, 9], "clear_old_points": False}, "begins anew"),
    ],
)  # fmt: skip
def test_add(tracker, kind, prompt, said):
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=POINT)
        session.add(2, frame=0, points=POINT)
        session.remove(2)
        rows = [r.logits for r in session.run(stop=3)]
        with pytest.raises(kind, match=said) as caught:
            session.add(**{"object_id": 1, "frame": 0, **prompt})
        assert isinstance(caught.value, UserError)
        assert "\n" not in str(caught.value)
        assert session.object_ids == (1,)
        again = [r.logits for r in session.run(stop=3)]
    assert all(np.array_equal(got, want) for got, want in zip(again, rows, strict=True))


def test_remove(tracker):
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=POINT)
        with pytest.raises(InvalidValue, match=r"object 7 .*unknown.* tracks 1"):
            session.remove(7)
        session.remove(1)
        with pytest.raises(InvalidValue, match=r"object 1 .*removed.* none"):
            session.remove(1)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"start": 6}, "no frame 6: its 6 frames are 0 to 5"),
        ({"stop": 9}, "ends before frame 9: stop is at most 6"),
        ({"start": 3, "stop": 3}, "no frame from 3 forwards before 3"),
        ({"start": 2, "stop": 4, "reverse": True}, "no frame from 2 backwards before 4"),
        ({"start": -1}, "counted from 0"),
    ],
)
def test_run(tracker, where, said):
    with tracker.open(FRAMES) as session:
        with pytest.raises(InvalidValue, match="nothing to track: add"):
            session.run()
        session.add(1, frame=0, points=POINT)
        with pytest.raises(InvalidValue, match=said):  # already when called
            session.run(**where)
        assert len(list(session.run())) == 6


def test_push(tracker):
    with tracker.open() as session:
        with pytest.raises(InvalidValue, match=r"push\(frame\) before add"):
            session.add(1, points=POINT)
        with pytest.raises(InvalidValue, match=r"no video: push\(frame\)"):
            session.run()
        session.push(FRAMES[0])
        session.add(1, points=POINT)
        with pytest.raises(InvalidValue, match=r"frame 1 is 80x120.* 120x80"):
            session.push(FRAMES[1].transpose(1, 0, 2))
        with pytest.raises(InvalidType, match=r"frame 1 .*str"):
            session.push("frame")
        with pytest.raises(InvalidValue, match=r"frame 3 .*gone"):
            session.add(2, frame=3, points=POINT)
        assert session.push(FRAMES[1]).frame == 1
    with tracker.open(FRAMES) as session, pytest.raises(InvalidValue, match=r"open\(None\)"):
        session.push(FRAMES[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hole_are": 3}, "Did you mean 'hole_area'"),
        ({"hole_area": -1}, "0 or more, got -1"),
        ({"max_prompted_maps": 0}, "1 or more, got 0"),
        ({"memory_budget_mb": 0}, "above 0, got 0"),
    ],
)
def test_options(tracker, options, said):
    with pytest.raises(InvalidValue, match=said):
        tracker.open(FRAMES, **options)


def test_no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("POCKETEYE_WEIGHTS", str(tmp_path))
    with pytest.raises(MissingFile, match=r"no weights .*efficienttam_ti_512x512") as e:
        load_tracker("efficienttam_ti_512x512")
    assert PUBLISHED["efficienttam_ti_512x512"].url in str(e.value)
    assert str(tmp_path / "efficienttam_ti_512x512.pt") in str(e.value)
    with pytest.raises(MissingFile, match="no weights of pocketeye_tam_pico"):
        load_tracker("pocketeye_tam_pico")
    with pytest.raises(MissingFile, match=r"no checkpoint at .*gone\.pt"):
        load_tracker("pocketeye_tam_pico", tmp_path / "gone.pt")


def test_wrong_file(tmp_path):
    path = tmp_path / "half.pt"
    torch.save({"model": {"image_encoder.x": torch.zeros(3)}}, path)
    with pytest.raises(InvalidValue, match=re.escape(str(path))):
        load_tracker("pocketeye_tam_pico", path)


def test_names(tracker):
    with pytest.raises(InvalidValue, match="Did you mean 'efficienttam_ti_512x512'"):
        load_tracker("efficienttam_ti_512x51")
    with pytest.raises(InvalidValue, match="unknown device 'gpu'"):
        load_tracker("pocketeye_tam_pico", device="gpu", untrained=True)
    with pytest.raises(InvalidValue, match="unknown dtype"):
        TorchEngine(tracker.engine.model, device="cpu", dtype="float8")
    with pytest.raises(InvalidType, match=r"name or .*TAM"):
        load_tracker(3)
