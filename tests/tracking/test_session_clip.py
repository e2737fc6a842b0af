"""The official video predictor on eight frames of a real clip, through a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.models import TAM, create_tam, load_checkpoint
from pocketeye.tracking import TorchEngine, Tracker
from tests.parity.official import filled, sample
from tests.parity.tam_keys import tam_keys

NUM_FRAMES, CLICK = 8, (240, 150)
EXPECTED = Path(__file__).parents[1] / "parity" / "clip_ti_512x512.npz"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tracker() -> Tracker[TorchEngine]:
    model = load_checkpoint(create_tam("efficienttam_ti_512x512"), filled(tam_keys(192)))
    assert isinstance(model, TAM)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(8)
    return Tracker(TorchEngine(model, device="cpu"))


@pytest.fixture
def images(datasets: Path) -> list[Path]:
    folder = datasets / "davis2016-train" / "JPEGImages" / "270p" / "bear"
    return [folder / f"{n:05d}.jpg" for n in range(NUM_FRAMES)]


def share_of_std(logits: np.ndarray, want: np.ndarray) -> float:
    """The worst difference, in standard deviations."""
    got = logits.reshape(-1) if logits.size == want.size else sample(logits, 4096)[::8]
    return float(np.abs(got - want.reshape(-1)).max() / want.std())


@pytest.mark.parametrize("plain", [False, True], ids=["prepared", "plain"])
def test_clip(tracker, images, plain):
    # what the fixture was made without
    options = {"hole_area": 0, "binarize_click_masks": False, "stability_fallback": False}
    with np.load(EXPECTED) as stored, tracker.open(images, plain=plain, **options) as session:
        prompted = session.add(1, frame=0, points=[CLICK])
        assert share_of_std(prompted.logits, stored["frame0"]) <= 1e-3
        results = list(session.run())
        assert [r.frame for r in results] == list(range(NUM_FRAMES))
        for r in results:
            assert share_of_std(r.logits, stored[f"frame{r.frame}"]) <= 1e-3
            assert np.array_equal(r.masks.dense(), r.logits > 0)
