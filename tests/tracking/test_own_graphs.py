"""The graphs that come along with our tracker, which compute by default on a CPU."""

import subprocess
import sys

import numpy as np
import pytest

from pocketeye.artifacts.tracker import TrackerManifest
from pocketeye.data.clips.flower import HiddenFlowerClip
from pocketeye.errors import InvalidValue
from pocketeye.models.tam.published import bundled_graphs
from pocketeye.tracking import TorchEngine, load_tracker
from pocketeye.tracking.engine.artifact import ArtifactEngine
from pocketeye.tracking.video import tracker as module

NANO = "pocketeye_tam_nano"


@pytest.fixture(scope="module")
def frames():
    clip = HiddenFlowerClip()
    return [clip[n][0] for n in range(4)], clip[0][1]


def tracked(tracker, frames):
    images, mask = frames
    y, x = (int(np.median(place)) for place in np.nonzero(mask))
    with tracker.open(images) as session:
        session.add(1, points=[[x, y]])
        return [result.masks.dense()[0] for result in session.run()]


def test_they_are_those_of_the_weights_and_track_the_same(frames, monkeypatch) -> None:
    monkeypatch.setattr(module, "has_accelerator", lambda: False)
    graphs, network = load_tracker(NANO), load_tracker(NANO, engine="torch")
    assert isinstance(graphs.engine, ArtifactEngine)
    assert isinstance(network.engine, TorchEngine)
    assert graphs.engine.fingerprint() == network.engine.fingerprint()
    assert graphs.confidence == network.confidence
    for ours, theirs in zip(tracked(graphs, frames), tracked(network, frames), strict=True):
        assert (ours & theirs).sum() >= 0.99 * (ours | theirs).sum()


def test_where_something_else_computes_the_network_does(monkeypatch) -> None:
    monkeypatch.setattr(module, "has_accelerator", lambda: True)
    assert isinstance(load_tracker(NANO).engine, TorchEngine)
    assert isinstance(load_tracker(NANO, device="cpu").engine, ArtifactEngine)
    assert isinstance(load_tracker(NANO, device="cpu", dtype="bfloat16").engine, TorchEngine)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("efficienttam_ti", {"engine": "onnxruntime"}, "pocketeye export"),
        (NANO, {"engine": "onnxruntime", "dtype": "bfloat16"}, "engine torch"),
        (NANO, {"engine": "onnxrutime"}, "onnxruntime"),
        (str(bundled_graphs(NANO)), {"engine": "torch"}, "engine torch"),
    ],
)
def test_engines_that_are_not_there(name, options, words) -> None:
    with pytest.raises(InvalidValue, match=words):
        load_tracker(name, **options)


def test_they_start_without_torch() -> None:
    code = (
        "import sys, numpy as np, pocketeye\n"
        f"tracker = pocketeye.load_tracker({NANO!r}, device='cpu')\n"
        "session = tracker.open(None)\n"
        "session.push(np.zeros((48, 64, 3), np.uint8))\n"
        "session.add(1, points=[[30, 20]])\n"
        "session.push(np.zeros((48, 64, 3), np.uint8))\n"
        "assert 'torch' not in sys.modules, sorted(m for m in sys.modules if 'torch' in m)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_all_its_files_are_there() -> None:
    folder = bundled_graphs(NANO)
    assert folder is not None
    manifest = TrackerManifest.load(folder)
    assert {path.parent.name for path in folder.glob("*/model.onnx")} == set(manifest.names[1:])
