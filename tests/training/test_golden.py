"""The loss of 200 steps of a small CAS-ViT on digits: a refactoring leaves it as it is.

The first 80 of them every time, all of them among the slow tests.
``POCKETEYE_ACCEPT=1 pytest -m '' tests/training/test_golden.py`` writes the golden anew. In float64,
as the rounding of other CPUs and thread counts would grow over 200 steps.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketeye.data import ImageSet, load_images
from pocketeye.data.files.stores import MemoryStore
from pocketeye.errors import UserError
from pocketeye.models import create_model
from pocketeye.runs import RunFolder
from pocketeye.training.classify.fit import fit
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.classify.task import ClassificationTask

GOLDEN = Path(__file__).with_name("golden") / "casvit-digits.json"
CONFIG = ClassifyRecipe(
    epochs=5, batch_size=16, lr=3e-3, optimizer="adamw", weight_decay=0.05, min_lr=1e-5,
    warmup_epochs=1, clip_grad=1.0, label_smoothing=0.1, mixup=0.2, cutmix=1.0, mixup_prob=0.5,
    ema_decay=0.95, drop_path_rate=0.1, drop_rate=0.1, crop="pad", pad=4, flip=0.0,
    random_erasing=0.25, input_size=32, channels_last=False, device="cpu",
)  # fmt: skip


def enlarged(images: ImageSet) -> ImageSet:
    """Every pixel four by four times, so that no resize rounds."""
    pixels = images.pixels(np.arange(len(images)))
    assert pixels is not None
    store = MemoryStore(pixels.repeat(4, 1).repeat(4, 2), [""] * len(images))
    return replace(images, store=store, indices=np.arange(len(images)))


@contextmanager
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("epochs", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_losses_are_those_of_the_golden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    losses: list[float] = []
    for name in ("training_step", "validation_step"):
        original = getattr(ClassificationTask, name)

        def step(self: Any, batch: Any, index: int, original: Any = original) -> Any:
            if self.current_epoch == epochs:
                raise KeyboardInterrupt
            loss = original(self, (batch[0].double(), batch[1]), index)
            losses.extend([] if loss is None else [loss.item()])
            return loss

        monkeypatch.setattr(ClassificationTask, name, step)
    train, val = (enlarged(load_images("digits", split)) for split in ("train", "val"))
    train, val = train.subset(np.arange(640)), val.subset(np.arange(64))
    with float64(), torch.random.fork_rng():
        torch.manual_seed(0)
        model = create_model(
            "casvit_xs", depths=(1, 1, 1, 1), dims=(8, 16, 24, 32), num_classes=10, in_chans=1,
            drop_path_rate=CONFIG.drop_path_rate,
        )  # fmt: skip
    run = RunFolder.open(tmp_path / "run", CONFIG.to_dict())
    if epochs == CONFIG.epochs:
        assert fit(model, train, val, CONFIG, run).value > 0.3
    else:
        with pytest.raises(UserError, match=f"epoch {epochs} of {CONFIG.epochs} is saved"):
            fit(model, train, val, CONFIG, run)
    assert len(losses) == 40 * epochs
    got = {"losses": losses, "val_loss": [row["val/loss"] for row in run.metrics()]}
    if os.environ.get("POCKETEYE_ACCEPT") and epochs == CONFIG.epochs:
        GOLDEN.write_text(json.dumps(got, indent=0) + "\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for key, values in golden.items():
        np.testing.assert_allclose(got[key], values[: len(got[key])], rtol=1e-6, err_msg=key)
