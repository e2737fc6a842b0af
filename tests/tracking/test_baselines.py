"""Masks that stay, and masks that go with the image."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from pocketeye.data.vos.layouts import load_videos
from pocketeye.errors import InvalidValue, MissingExtra, MissingFile
from pocketeye.metrics import region_similarity
from pocketeye.tracking import Tracker
from pocketeye.tracking.evaluation.baselines import FlowMask, StillMask
from pocketeye.tracking.evaluation.evaluate import evaluate_vos
from pocketeye.tracking.evaluation.vos_models import open_vos_model
from tests.tracking.trackers import HEIGHT, WIDTH, make_tracker


def textured(num_frames: int, step: float) -> list[np.ndarray]:
    """A smooth pattern that moves to the right on a still one."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    waves = rng.uniform(0.1, 0.5, (6, 2))

    def pattern(at: np.ndarray, sign: int) -> np.ndarray:
        return sum(np.sin(a * at + sign * b * y) for a, b in waves)  # type: ignore[return-value]

    frames = []
    for number in range(num_frames):
        grey = np.where(disc(number, step), 150 + 16 * pattern(x - step * number, 1),
                        60 + 8 * pattern(x, -1))  # fmt: skip
        frames.append(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2))
    return frames


def disc(number: int, step: float) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x - 40 - step * number) ** 2 + (y - HEIGHT // 2) ** 2 < 22**2


def test_still() -> None:
    with StillMask().open(textured(5, 2)) as session:
        shown = session.add(3, mask=disc(0, 2))
        assert shown.ids == (3,)
        results = list(session.run())
    assert [result.frame for result in results] == [0, 1, 2, 3, 4]
    for result in results:
        np.testing.assert_array_equal(result.masks[0].dense(), disc(0, 2))


def test_flow_goes_with_the_image() -> None:
    with FlowMask().open(textured(9, 2)) as session:
        session.add(1, mask=disc(0, 2))
        last = list(session.run())[-1].masks[0].dense()
    followed = region_similarity(last, disc(8, 2))
    assert followed > 0.9
    assert region_similarity(disc(0, 2), disc(8, 2)) < 0.5


def test_objects_may_come_later_and_be_shown_again() -> None:
    with StillMask().open(textured(6, 2)) as session:
        session.add(1, frame=1, mask=disc(1, 2))
        session.add(2, frame=3, mask=disc(3, 2))
        session.add(1, frame=4, mask=disc(4, 2))
        results = {result.frame: result for result in session.run()}
    assert {frame: result.ids for frame, result in results.items()} == {
        1: (1,), 2: (1,), 3: (1, 2), 4: (1, 2), 5: (1, 2),
    }  # fmt: skip
    np.testing.assert_array_equal(results[5].masks[0].dense(), disc(4, 2))
    np.testing.assert_array_equal(results[3].masks[0].dense(), disc(1, 2))


def test_what_is_refused() -> None:
    with StillMask().open(textured(2, 2)) as session:
        with pytest.raises(InvalidValue, match="nothing to follow"):
            next(session.run())
        for prompt in ({"points": [[3, 3]]}, {"box": [1, 1, 9, 9]}):
            with pytest.raises(InvalidValue, match="only a mask"):
                session.add(1, **prompt)
        with pytest.raises(InvalidValue, match=r"mask .*\(3, 4\)"):
            session.add(1, mask=np.ones((3, 4), bool))


def test_flow_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r'pip install "pocketeye\[flow\]"'):
        open_vos_model("flow")


def test_names(tmp_path: Path) -> None:
    assert isinstance(open_vos_model("still"), StillMask)
    with pytest.raises(InvalidValue, match=r"unknown .*'stil'.* mean"):
        open_vos_model("stil")
    with pytest.raises(InvalidValue, match="still has no weights"):
        open_vos_model("still", "x.safetensors")
    with pytest.raises(MissingFile, match=r"no network .*no model\.json"):
        open_vos_model(str(tmp_path))


def test_a_run_of_a_training_is_a_follower(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from pocketeye.models import create_tam
    from pocketeye.models.tam.described import TrackerDescription
    from pocketeye.runs import BEST

    model = create_tam("pocketeye_tam_pico", 64)
    save_file(model.state_dict(), tmp_path / BEST)
    TrackerDescription(variant="pocketeye_tam_pico", image_size=(64, 64)).save(tmp_path)
    follower = open_vos_model(str(tmp_path), device="cpu")
    assert isinstance(follower, Tracker)
    assert follower.facts.image_size == (64, 64)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(follower.engine.model.state_dict()[name], tensor)


@pytest.mark.slow
def test_baselines_on_real_clips(datasets: Path) -> None:
    videos = load_videos(datasets / "davis2016-train", "dev")
    still, flow = (evaluate_vos(open_vos_model(name), videos).mean for name in ("still", "flow"))
    assert still.jf == pytest.approx(0.307, abs=0.001)
    assert flow.jf == pytest.approx(0.335, abs=0.01)  # another OpenCV may differ a little


def test_a_tracker_has_the_same_methods() -> None:
    with make_tracker().open(textured(3, 2)) as session:
        session.add(1, frame=0, mask=disc(0, 2))
        assert [result.frame for result in session.run(0)] == [0, 1, 2]
