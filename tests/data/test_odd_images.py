"""Images of odd shapes and forms: each is handled, or left out by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.data import decode
from pocketeye.data.files.decode import no_comments, upright_size
from pocketeye.data.transforms.transforms import EvalCrop, TransformRecipe, build_transform


def pixels(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def test_damaged_exif_leaves_the_image_as_it_is_stored(tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    # One entry whose value lies far behind the end of the file.
    pixels(8, 6).save(file, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x05")
    with no_comments():
        assert (decode(file).size, upright_size(file)) == ((8, 6), (8, 6))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    stored = io.BytesIO()
    pixels(8, 6).convert(mode).save(stored, "TIFF")
    read = decode(stored.getvalue())
    assert (read.mode, read.size) == ("RGB", (8, 6))


@pytest.mark.parametrize("white", [np.full((6, 8), 65535, np.uint16), np.ones((6, 8), np.float32)])
def test_white_of_more_than_8_bits_is_white(white: np.ndarray) -> None:
    stored = io.BytesIO()
    Image.fromarray(white).save(stored, "TIFF")
    assert np.asarray(decode(stored.getvalue())).min() == 255


@pytest.mark.parametrize("size", [(900, 2), (2, 900), (1, 1), (12, 40), (30_000, 1)])
@pytest.mark.parametrize("auto_augment", [None, "rand-m1-n1"])
def test_any_shape_becomes_a_square(size: tuple[int, int], auto_augment: str | None) -> None:
    for train in (False, True):
        for crop in ("none", "rrc"):
            recipe = TransformRecipe(crop=crop, auto_augment=auto_augment)  # type: ignore[arg-type]
            transform = build_transform(train, 32, 3, None, None, recipe)
            assert transform(pixels(*size)).shape == (3, 32, 32)


def test_a_thread_is_cut_before_it_is_resized() -> None:
    wide = torch.zeros(1, 3, 2, 4000, dtype=torch.uint8)
    wide[..., 1999:2001] = 200  # the two columns in the middle fill the square
    assert EvalCrop(32, 1.0, "bilinear")(wide)[..., 8:24].min() >= 150
