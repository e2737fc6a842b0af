"""One damaged image in a large validation set costs that image, not the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocketeye.data import load_images
from pocketeye.runs import RunFolder
from pocketeye.training.classify.fit import fit
from pocketeye.training.classify.recipe import ClassifyRecipe
from tests.training.conftest import tiny_net


def test_validation_goes_on_without_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 3)):
        for name in "ab":
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 255, (16, 16, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    broken = tmp_path / "data" / "val" / "a" / "1.png"
    broken.write_bytes(broken.read_bytes()[:120])  # its header is whole
    sets = [load_images(tmp_path / "data", s, memory_bytes=0) for s in ("train", "val")]
    assert not any(images.in_memory for images in sets)
    config = ClassifyRecipe.load("small-cpu", epochs=1, batch_size=8, input_size=32, device="cpu")
    run = RunFolder.open(tmp_path / "run", config.to_dict())
    result = fit(tiny_net(in_chans=3, num_classes=2), *sets, config, run)
    assert "a/1.png: " in caplog.text
    assert 5 * result.value == pytest.approx(round(5 * result.value), abs=1e-6), (
        "a share of the five images that are whole"
    )
