"""The engine of an artefact follows a session as torch does; its graphs are modules here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pocketeye.artifacts.tracker import TrackerManifest
from pocketeye.errors import InvalidValue
from pocketeye.exporting.tracker.graphs import tracker_graphs, tracker_manifest
from pocketeye.models.tam import MemoryRule, Pooling
from pocketeye.tracking import Tracker
from pocketeye.tracking.engine.artifact import ArtifactEngine
from pocketeye.tracking.engine.base import Reading
from tests.tracking.engines import as_graph
from tests.tracking.trackers import HEIGHT, WIDTH, make_tracker, moving

FRAMES = moving(14)
A, B = [[30, 40]], [[90, 20]]
Arrays = tuple[np.ndarray, ...]


def both(pooling: Pooling = Pooling.NONE) -> tuple[Tracker[Any], Tracker[Any]]:
    """A tracker in torch, and the same by its graphs."""
    torch_tracker = make_tracker(pooling)
    model = torch_tracker.engine.model
    modules = tracker_graphs(model)
    said = tracker_manifest(model, modules).to_dict()
    engine = ArtifactEngine(said, {name: as_graph(module) for name, module in modules.items()})
    return torch_tracker, Tracker(engine)


@pytest.fixture(scope="module")
def trackers() -> tuple[Tracker[Any], Tracker[Any]]:
    return both()


def followed(tracker: Tracker[Any], **options: Any) -> list[np.ndarray]:
    """Two objects, a box, a correction, a mask, a removal, and a pass backwards; all logits.

    Holes are left: whether a logit of 1e-7 is one is rounding.
    """
    found = []
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[20:60, 30:70] = True
    with tracker.open(FRAMES, hole_area=0, **options) as session:
        session.add(1, frame=0, points=A)
        session.add(2, frame=0, box=[80, 10, 110, 40])
        for result in session.run():
            if result.frame == 5:
                result = session.add(1, frame=5, points=[[50, 40], [100, 70]], labels=[1, 0])
            if result.frame == 8:
                session.remove(2)
                result = session.add(3, frame=8, mask=mask)
            found.append(result.logits)
        found += [result.logits for result in session.run(6, 2, reverse=True)]
    return found


def alike(got: list[np.ndarray], want: list[np.ndarray]) -> bool:
    return all(
        a.shape == b.shape and np.abs(a - b).max() <= 1e-4 * b.std()
        for a, b in zip(got, want, strict=True)
    )


@pytest.mark.parametrize("rule", list(MemoryRule))
def test_sessions_agree(trackers, rule):
    in_torch, by_graphs = trackers
    want = followed(in_torch, round_maps=False, memory_rule=rule)
    assert alike(followed(by_graphs, memory_rule=rule), want)


@pytest.mark.parametrize("pooling", [Pooling.COUNTED_LOGITS, Pooling.COUNTED_KEYS])
def test_sessions_of_pooling_networks_agree(pooling):
    in_torch, by_graphs = both(pooling)
    assert alike(followed(by_graphs), followed(in_torch, round_maps=False))


def test_masks_are_those_of_torch_with_rounded_maps(trackers):
    masks = []
    for tracker in trackers:
        with tracker.open(FRAMES) as session:
            session.add(1, points=A)
            masks.append([result.masks[0] for result in session.run()])
    assert np.mean([a.iou(b) for a, b in zip(*masks, strict=True)]) > 0.98


def test_facts_and_fingerprint_are_the_networks(trackers):
    in_torch, by_graphs = trackers
    ours, theirs = by_graphs.facts, in_torch.facts
    assert (ours.image_size, ours.num_maskmem) == (theirs.image_size, theirs.num_maskmem)
    assert (ours.session_rule, ours.pointer_dim) == (theirs.session_rule, theirs.pointer_dim)
    assert by_graphs.engine.fingerprint() == in_torch.engine.fingerprint()


def test_an_object_that_is_not_there_has_no_mask(trackers):
    engine = trackers[1].engine
    features = engine.encode(FRAMES[0])
    found = engine.adopt_mask(features, np.zeros((1, 1, *engine.facts.image_size), np.float32))
    assert (found.mask < 0).all()
    assert found.score[0] < 0
    assert np.allclose(found.pointer[0], engine.said["no_obj_ptr"])


def test_more_than_the_graphs_hold(trackers):
    engine = trackers[1].engine
    features = engine.encode(FRAMES[0])
    [one] = engine.write(features, np.zeros((1, 1, 24, 40), np.float32), binarize=False)
    pointer = np.zeros((1, engine.facts.pointer_dim), np.float32)
    full = Reading((one,) * 15, (0,) * 15, (pointer,))
    with pytest.raises(InvalidValue, match=r"15 maps.*holds 14.*max_prompted_maps"):
        engine.track(features, [full], stability_fallback=True)
    session = trackers[1].open(FRAMES)
    with pytest.raises(InvalidValue, match=r"17 points.*takes 16"):
        session.add(1, points=[[k, k] for k in range(17)])


def test_options_that_only_torch_has(trackers):
    with pytest.raises(InvalidValue, match="plain=True"):
        trackers[1].open(FRAMES, plain=True)


def test_manifest(tmp_path, trackers):
    said = trackers[1].engine.said
    manifest = TrackerManifest(**{k: v for k, v in said.items() if k not in ("schema", "task")})
    manifest.save(tmp_path)
    assert TrackerManifest.load(tmp_path).to_dict() == manifest.to_dict()
    for change, words in (
        ({"graphs": {}}, "does not describe 'image'"),
        ({"mask_weight": [[1.0]]}, "mask_weight"),
        ({"ridge": None}, "both"),
        ({"ages": [[0.0]]}, "ages"),
    ):
        TrackerManifest(**{**vars(manifest), **change}).save(tmp_path)
        with pytest.raises(InvalidValue, match=words):
            TrackerManifest.load(tmp_path)
