"""The image predictor gives the official answers for clicks and boxes in pixels of another image."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pocketeye.models import TAM, create_tam, load_checkpoint
from pocketeye.models.tam import ImageFeatures
from pocketeye.tracking import ImageSegmenter
from pocketeye.tracking.image.segmenter import EmbeddedImage
from tests.parity.official import draw, filled, sample
from tests.parity.tam_keys import tam_keys

WIDTH, HEIGHT = 640, 480
NAME = "efficienttam_ti_512x512"
# The same shares of the image's sides as in test_tam.py.
PROMPTS = {
    "point": {"points": [[0.3 * WIDTH, 0.6 * HEIGHT]]},
    "points": {"points": [[0.3 * WIDTH, 0.6 * HEIGHT], [0.7 * WIDTH, 0.2 * HEIGHT]], "labels": [1, 0]},
    "box": {"box": [0.2 * WIDTH, 0.3 * HEIGHT, 0.6 * WIDTH, 0.8 * HEIGHT]},
}  # fmt: skip


@pytest.fixture(scope="module")
def segmenter() -> ImageSegmenter:
    model = load_checkpoint(create_tam(NAME), {"model": filled(tam_keys(192))}).eval()
    assert isinstance(model, TAM)
    made = ImageSegmenter(model)
    feat = torch.from_numpy(np.float32(draw("feat", (1, 256, *model.feat_size))))
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    made._images = (EmbeddedImage(image=image, seen=ImageFeatures(feat)),)
    return made


def distance(logits: np.ndarray, want: np.ndarray) -> float:
    """The worst difference in shares of the standard deviation; answers are kept within ±32."""
    got = sample(logits.reshape(1, 1, *logits.shape[-2:]), 4096).astype(np.float64)
    got = got[:: got.size // want.size]
    return float(np.abs(got - want.clip(-32, 32)).max() / want.std())


@pytest.mark.parametrize("name", PROMPTS)
def test_official_answers(segmenter, name) -> None:
    with np.load(Path(__file__).with_name(f"{NAME}.npz")) as stored:
        mask = stored[f"{name}_low_res_mask"].reshape(-1)
        ious = np.sort(stored[f"{name}_ious"].reshape(-1))[::-1]
    result = segmenter.predict(**PROMPTS[name])
    # The weights amplify rounding to some 3e-3, see test_tam.py.
    assert distance(result.logits, mask) < 1e-2
    assert result.scores[0] == pytest.approx(ious[0], abs=1e-3)
    if name == "point":
        three = segmenter.predict(**PROMPTS[name], multimask=True)
        np.testing.assert_allclose(three.scores, ious, atol=1e-3)


def test_the_comparison_sees_a_shift_of_half_a_pixel(segmenter) -> None:
    with np.load(Path(__file__).with_name(f"{NAME}.npz")) as stored:
        mask = stored["point_low_res_mask"].reshape(-1)
    (point,) = PROMPTS["point"]["points"]
    moved = segmenter.predict([[point[0] + 0.5, point[1]]])
    assert distance(moved.logits, mask) > 2e-2
