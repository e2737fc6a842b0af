"""The folder of an exported tracker: opened, tracked and segmented with, judged, and refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pocketeye
from pocketeye.artifacts import tracker as of_trackers
from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.models.tam import MemoryRule
from pocketeye.tracking import TorchEngine, Tracker, load_segmenter
from pocketeye.tracking.engine.artifact import ArtifactEngine
from pocketeye.verbs.segment import segment
from pocketeye.verbs.track import track
from tests.tracking.engines import as_graph, exported
from tests.tracking.trackers import make_tracker, moving

FRAMES = moving(5)
CLICK = [[30, 40]]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Tracker[TorchEngine], dict]:
    folder = tmp_path_factory.mktemp("artefacts") / "tiny"
    folder.mkdir()
    network = make_tracker()
    return folder, network, exported(folder, network.engine)


@pytest.fixture
def folder(made, monkeypatch) -> Path:
    """An artefact whose graphs are called as they are, in place of a runtime's."""
    where, _, graphs = made
    monkeypatch.setattr(
        of_trackers, "open_artifact", lambda artifact, threads: as_graph(graphs[str(artifact.path)])
    )
    return where


@pytest.fixture
def copied(folder, tmp_path, monkeypatch, made) -> Path:
    """A copy that a test may damage."""
    import shutil

    where = Path(shutil.copytree(folder, tmp_path / "tiny"))
    graphs = {Path(path).parent.name: module for path, module in made[2].items()}
    monkeypatch.setattr(
        of_trackers,
        "open_artifact",
        lambda artifact, threads: as_graph(graphs[artifact.folder.name]),
    )
    return where


def followed(tracker: Tracker) -> list[np.ndarray]:
    with tracker.open(FRAMES) as session:
        session.add(1, frame=0, points=CLICK)
        return [result.masks[0].dense() for result in session.run()]


@pytest.mark.parametrize("file", ["", "artifact.json", "tracker.json"])
def test_a_folder_or_a_file_in_it_is_a_tracker(folder, made, file):
    tracker = pocketeye.load_tracker(str(folder / file), threads=1)
    assert isinstance(tracker.engine, ArtifactEngine)
    assert tracker.facts.image_size == made[1].facts.image_size
    assert tracker.facts.session_rule is MemoryRule.DISTINCT
    assert tracker.engine.fingerprint() == made[1].engine.fingerprint()


def test_it_tracks_as_the_network(folder, made):
    for got, want in zip(followed(pocketeye.load_tracker(folder)), followed(made[1]), strict=True):
        assert (got & want).sum() / max((got | want).sum(), 1) > 0.99


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "cuda"}, "tiny is an exported tracker, .*leave device cuda out"),
        ({"dtype": "bfloat16"}, "leave dtype bfloat16 out"),
        ({"checkpoint": "a.pt", "untrained": True}, "leave checkpoint a.pt and untrained out"),
    ],
)
def test_options_that_it_cannot_honour(folder, options, said):
    with pytest.raises(InvalidValue, match=said):
        pocketeye.load_tracker(str(folder), **options)


def test_threads_are_of_an_exported_tracker():
    with pytest.raises(InvalidValue, match=r"threads is of an exported tracker.*set_num_threads"):
        pocketeye.load_tracker("pocketeye_tam_pico", untrained=True, threads=2)


@pytest.mark.parametrize("options", [{"plain": True}, {"round_maps": False}])
def test_options_of_a_session_that_it_cannot_honour(folder, options):
    with pytest.raises(InvalidValue, match="is of a network in torch"):
        pocketeye.load_tracker(folder).open(FRAMES, **options)


def test_more_maps_than_it_was_exported_for(folder):
    tracker = pocketeye.load_tracker(folder)
    with pytest.raises(InvalidValue, match=r"max_prompted_maps=9 .* give 8 or fewer"):
        tracker.open(FRAMES, max_prompted_maps=9)
    with tracker.open(FRAMES) as session:
        for _ in range(9):
            session.add(1, frame=0, points=CLICK, clear_old_points=False)
        with pytest.raises(InvalidValue, match=r"17 points .* takes 16"):
            session.add(1, frame=0, points=CLICK * 8, clear_old_points=False)
        assert [r.ids for r in session.run(stop=2)] == [(1,), (1,)]  # as if nothing had been said


def test_damage_is_a_sentence(copied):
    whole = (copied / "write" / "model.onnx").read_bytes()
    (copied / "write" / "model.onnx").write_bytes(whole[:-1])
    with pytest.raises(InvalidValue, match=r"write.model.onnx is not the file .* export it again"):
        pocketeye.load_tracker(copied)
    (copied / "write" / "model.onnx").unlink()
    with pytest.raises(MissingFile, match=r"write.model.onnx is missing"):
        pocketeye.load_tracker(copied)
    (copied / "write" / "model.onnx").write_bytes(whole)
    (copied / "artifact.json").unlink()
    with pytest.raises(MissingFile, match=r"no artefact .*artifact.json is missing"):
        pocketeye.load_tracker(copied)


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_artefact_of_another_version(copied):
    edited(copied / "tracker.json", schema="pocketeye.tracker-artifact/99")
    with pytest.raises(InvalidValue, match="tracker-artifact/99"):
        pocketeye.load_tracker(copied)


def test_an_artefact_of_two_runtimes(copied):
    edited(copied / "write" / "artifact.json", runtime="openvino")
    with pytest.raises(
        InvalidValue, match=r"'openvino' and .*'onnxruntime': .* export the tracker"
    ):
        pocketeye.load_tracker(copied)


def test_a_manifest_that_was_edited(copied):
    edited(copied / "tracker.json", ridge=0.5)
    with pytest.raises(InvalidValue, match=r"tracker\.json does not belong"):
        pocketeye.load_tracker(copied)


def test_an_artefact_of_another_kind(copied):
    (copied / "tracker.json").unlink()
    with pytest.raises(InvalidValue, match="an artefact of a classifier, which a tracker"):
        pocketeye.load_tracker(str(copied))


def test_the_command_tracks_with_a_folder(folder, made, tmp_path):
    for number, frame in enumerate(FRAMES):
        (tmp_path / "clip").mkdir(exist_ok=True)
        Image.fromarray(frame).save(tmp_path / "clip" / f"{number:05d}.png")
    result = track(
        [str(tmp_path / "clip")], point=["30,40"], model=str(folder), out=[tmp_path / "found"]
    )
    assert result.videos[0].device == "cpu"
    labels = [
        np.asarray(Image.open(path)) > 0 for path in sorted((tmp_path / "found").glob("*.png"))
    ]
    for got, want in zip(labels, followed(made[1]), strict=True):
        assert (got & want).sum() / max((got | want).sum(), 1) > 0.99


def test_the_command_segments_with_a_folder(folder, made, tmp_path):
    Image.fromarray(FRAMES[0]).save(tmp_path / "photo.png")
    found = segment(
        tmp_path / "photo.png", point=["30,40"], model=str(folder), out=tmp_path / "a.png"
    )
    assert len(found.found) == 1
    ours, theirs = load_segmenter(folder), pocketeye.ImageSegmenter(made[1].engine.model)
    for each in (ours, theirs):
        each.set_image(FRAMES[0])
    for prompt in (
        {"points": CLICK, "multimask": True},
        {"points": [[30, 40], [70, 20]], "labels": [1, 0]},
        {"boxes": [[10, 10, 50, 60], [60, 10, 100, 60]]},
    ):
        got, want = (each.predict(**prompt) for each in (ours, theirs))
        # the network's own resizing is not rounded to bytes, an engine's is
        np.testing.assert_allclose(got.scores, want.scores, atol=0.02)
        for one, other in zip(got.masks, want.masks, strict=True):
            assert one.iou(other) > 0.95
