"""Transforms: ranges, randomness, the two ways agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.data.transforms.transforms import (
    EraseBatch,
    EvalCrop,
    MirrorBatch,
    ResizedCropBatch,
    ShiftBatch,
    TransformRecipe,
    build_transform,
    pil_to_tensor,
)
from pocketeye.errors import InvalidValue
from pocketeye.predicting.info import ModelInfo


def noise(n: int = 4, size: int = 24, chans: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (n, chans, size, size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def as_pil(x: torch.Tensor) -> Image.Image:
    return Image.fromarray(x.permute(1, 2, 0).numpy())


RECIPES = {
    "rrc": TransformRecipe(),
    "pad": TransformRecipe(crop="pad", random_erasing=0.5),
    "none": TransformRecipe(crop="none", flip=0.5),
    "auto_augment": TransformRecipe(auto_augment="rand-m9-mstd0.5-inc1", random_erasing=0.5),
    "bicubic": TransformRecipe(interpolation="bicubic", crop_pct=0.875),
}


@pytest.mark.parametrize("name", RECIPES)
def test_train_is_random_and_follows_the_seed(name: str) -> None:
    transform = build_transform(True, 16, 3, None, None, RECIPES[name])
    image = as_pil(noise()[0])
    outputs = []
    for seed in (0, 0, 1, 2, 3):
        torch.manual_seed(seed)
        outputs.append(transform(image))
    assert outputs[0].shape == (3, 16, 16)
    assert outputs[0].dtype == torch.float32
    assert torch.equal(outputs[0], outputs[1])
    assert any(not torch.equal(outputs[0], other) for other in outputs[2:])
    assert (transform.batch is None) == (name == "auto_augment")


@pytest.mark.parametrize("shape", [(20, 30), (30, 20), (16, 16), (200, 150)])
def test_evaluation_is_the_same_alone_and_in_a_batch(shape: tuple[int, int]) -> None:
    transform = build_transform(False, 16, 3, None, None, TransformRecipe(crop_pct=0.875))
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    image = Image.fromarray(pixels)
    one = transform(image)
    assert transform.batch is not None
    many = transform.batch(torch.stack([pil_to_tensor(image)] * 3))
    assert torch.equal(many[1], one)
    assert torch.equal(transform(image), one)


@pytest.mark.parametrize("policy", [None, "rand-m0-n0"])
def test_warp_keeps_the_whole_image(policy: str | None) -> None:
    recipe = TransformRecipe(
        crop_mode="warp", crop="none", crop_pct=0.5, flip=0, auto_augment=policy
    )
    halves = np.zeros((16, 40, 3), np.uint8)
    halves[:, 20:] = 255
    image = Image.fromarray(halves)
    for train in (False, True):
        x = build_transform(train, 16, 3, (0.0,) * 3, (1.0,) * 3, recipe)(image)
        assert x.shape == (3, 16, 16)
        assert (x[..., :7].max(), x[..., 9:].min()) == (0, 1)
    centre = build_transform(False, 16, 3, (0.0,) * 3, (1.0,) * 3, TransformRecipe())(image)
    assert not torch.equal(centre, x)


def test_a_model_says_how_it_sees_images(tmp_path: Path) -> None:
    info = ModelInfo.default("net", ("a", "b"), 3, 16)
    warped = replace(info, crop_mode="warp")
    warped.save(tmp_path)
    assert ModelInfo.load(tmp_path) == warped
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 40, 3), np.uint8))
    assert not torch.equal(warped.transform()(image), info.transform()(image))
    older = json.loads((tmp_path / "model.json").read_text())
    del older["crop_mode"]
    (tmp_path / "model.json").write_text(json.dumps(older))
    assert ModelInfo.load(tmp_path) == info


def test_crops_have_the_asked_shares_and_ratios() -> None:
    torch.manual_seed(0)
    crop = ResizedCropBatch(16, (0.2, 0.3), "bilinear", (1.0, 2.0))
    _, _, hs, ws = (np.array(v) for v in crop._boxes(2000, 200, 300))
    share, ratio = hs * ws / 60000, ws / hs
    assert share.min() == pytest.approx(0.2, abs=0.01)
    assert share.max() == pytest.approx(0.3, abs=0.01)
    assert ratio.min() == pytest.approx(1.0, abs=0.05)
    assert ratio.max() == pytest.approx(2.0, abs=0.05)


def test_normalisation() -> None:
    white = Image.new("RGB", (8, 8), "white")
    transform = build_transform(False, 8, 3, (0.5, 0.5, 0.5), (0.25, 0.5, 1.0), TransformRecipe())
    assert torch.allclose(transform(white)[:, 0, 0], torch.tensor([2.0, 1.0, 0.5]))
    with pytest.raises(InvalidValue, match="must be 1 numbers"):
        build_transform(False, 8, 1, (0.5, 0.5), (1.0, 1.0), TransformRecipe())


def test_resized_crop_of_everything_is_a_resize() -> None:
    x = noise(3)
    torch.manual_seed(0)
    crop = ResizedCropBatch(16, (1.0, 1.0), "bilinear")
    crop._boxes = lambda n, h, w: ([0] * n, [0] * n, [h] * n, [w] * n)  # type: ignore[method-assign]
    assert (crop(x).int() - EvalCrop(16, 1.0, "bilinear")(x).int()).abs().max() <= 1


def test_crop_boxes_lie_inside() -> None:
    torch.manual_seed(0)
    crop = ResizedCropBatch(16, (0.08, 1.0), "bilinear")
    tops, lefts, hs, ws = (np.array(v) for v in crop._boxes(5000, 20, 30))
    assert min(tops.min(), lefts.min()) == 0
    assert (tops + hs).max() == 20
    assert (lefts + ws).max() == 30
    area = hs * ws / 600
    assert 0.06 < area.min() < 0.12
    assert area.max() > 0.9


def test_shift_moves_and_fills_with_black() -> None:
    torch.manual_seed(0)
    x = torch.full((200, 1, 8, 8), 9, dtype=torch.uint8)
    black_rows = (ShiftBatch(2)(x)[:, 0].amax(2) == 0).sum(1)
    assert set(black_rows.tolist()) == {0, 1, 2}
    assert torch.equal(ShiftBatch(0)(x), x)


def test_mirror_and_erase_act_on_single_images() -> None:
    torch.manual_seed(0)
    x = noise(400, 8)
    y = MirrorBatch(0.25)(x)
    mirrored = (y == x.flip(-1)).flatten(1).all(1)
    assert 70 < int(mirrored.sum()) < 130
    assert torch.equal(y[~mirrored], x[~mirrored])
    ones = torch.ones(400, 1, 16, 16)
    erased = 1 - EraseBatch(0.5)(ones).mean((1, 2, 3))
    assert 160 < int((erased > 0).sum()) < 240
    assert 0.25 < float(erased.max()) < 0.45


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"crop": "rcc"}, "unknown crop 'rcc'. Did you mean 'rrc'"),
        ({"interpolation": "cubic"}, "Did you mean 'bicubic'"),
        ({"flip": 1.5}, "flip must be from 0 to 1, got 1.5"),
    ],
)
def test_recipe_mistakes(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        TransformRecipe(**values)  # type: ignore[arg-type]
    assert message in str(caught.value)
