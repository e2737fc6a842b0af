"""The official video predictor on eight frames of a real clip, by the rules of the network alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from pocketeye.models import TAM, create_tam, load_checkpoint
from pocketeye.models.tam import ImageFeatures, Memory
from tests.parity.official import filled, sample
from tests.parity.tam_keys import tam_keys

SIZE, NUM_FRAMES = 512, 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLICK = (240, 150)
PROMPTED = 6  # slot
pytestmark = pytest.mark.slow


@dataclass
class Bank:
    """What the frames so far have left: of the prompted one, and of those that were tracked."""

    maps: list[torch.Tensor]
    pointers: list[torch.Tensor]

    def chosen(self) -> tuple[list[torch.Tensor], list[int]]:
        """The prompted map and the last six, with their slots."""
        tracked = self.maps[1:][-6:]
        return [self.maps[0], *tracked], [PROMPTED, *reversed(range(len(tracked)))]


@pytest.fixture(scope="module")
def model() -> TAM:
    model = load_checkpoint(create_tam("efficienttam_ti_512x512"), filled(tam_keys(192)))
    assert isinstance(model, TAM)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(8)
    return model.eval()


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("clip_ti_512x512.npz")) as stored:
        return dict(stored)


@pytest.fixture
def images(datasets: Path) -> list[Image.Image]:
    folder = datasets / "davis2016-train" / "JPEGImages" / "270p" / "bear"
    return [Image.open(folder / f"{n:05d}.jpg").convert("RGB") for n in range(NUM_FRAMES)]


def network_input(image: Image.Image) -> torch.Tensor:
    pixels = np.asarray(image.resize((SIZE, SIZE))).transpose(2, 0, 1)
    x = torch.from_numpy(pixels.copy()).float()[None] / 255
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def track(
    model: TAM, images: list[Image.Image], prepared: bool
) -> Iterator[tuple[torch.Tensor, Bank]]:
    """Masks (low resolution) frame by frame, and the bank after each of them."""
    width, height = images[0].size
    bank = Bank([], [])
    for image in images:
        raw = model.encode_image(network_input(image))
        if not bank.maps:
            click = torch.tensor([[[CLICK[0] / width * SIZE, CLICK[1] / height * SIZE]]])
            said = model.predict(model.without_memory(raw.feat), click, torch.tensor([[1]]))
        else:
            said = model.predict(condition(model, raw, bank, prepared))
        yield said.mask, bank
        bank.maps.append(model.encode_memory(raw, said.mask).bfloat16().float())
        bank.pointers.append(said.pointer)


def condition(model: TAM, raw: ImageFeatures, bank: Bank, prepared: bool) -> torch.Tensor:
    maps, slots = bank.chosen()
    pointers = torch.stack(bank.pointers, 1)
    if not prepared:
        return model.read_raw(raw, maps, slots, pointers).feat
    parts: list[Memory] = [model.prepare_map(memory) for memory in maps]
    return model.read(raw, model.gather(parts, slots, model.slot_keys(), pointers)).feat


def stored_part(got: torch.Tensor, count: int) -> np.ndarray:
    return got.numpy().reshape(-1) if got.numel() == count else sample(got.numpy(), 4096)[::8]


def assert_near_bfloat16(got: torch.Tensor, want: np.ndarray) -> None:
    """Equal but for a few that a last bit of fp32 rounds to the neighbour."""
    off = np.abs(stored_part(got, want.size) - want)
    assert (off <= 2**-7 * np.abs(want)).all()
    assert (off > 0).mean() < 0.02


def assert_near(got: torch.Tensor, want: np.ndarray) -> None:
    want = want.reshape(-1)
    worst = np.abs(stored_part(got, want.size) - want).max()
    assert worst <= 1e-3 * want.std(), f"{worst / want.std():.1e} of the standard deviation"


@torch.no_grad()
@pytest.mark.parametrize("prepared", [False, True], ids=["raw", "prepared"])
def test_clip(model, images, expected, prepared):
    for number, (mask, bank) in enumerate(track(model, images, prepared)):
        shown = F.interpolate(mask, size=images[0].size[::-1], mode="bilinear")
        assert_near(shown, expected[f"frame{number}"])
        if number == 4:
            assert_near_bfloat16(bank.maps[3], expected["memory_frame3"])
            assert_near(bank.pointers[3], expected["pointer_frame3"])
