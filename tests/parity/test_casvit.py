"""CAS-ViT computes what the official network computes, to 1e-4 of the output's standard deviation."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch

import pocketeye
from tests.parity.official import casvit_keys, draw, filled, sample

DEPTHS, DIMS = (2, 2, 4, 2), (48, 56, 112, 220)


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).with_name("casvit_xs.npz")) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def official() -> dict[str, torch.Tensor]:
    return filled(casvit_keys(DEPTHS, DIMS, heads=2), gain=0.8)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.from_numpy(draw("input", (2, 3, 224, 224)))


def two_heads(official: dict[str, torch.Tensor]) -> pocketeye.models.CASViT:
    model = pocketeye.create_model("casvit_xs", distilled=True)
    return pocketeye.load_checkpoint(model, official)


def assert_parity(got: torch.Tensor | np.ndarray, want: np.ndarray, share: float = 1e-4) -> None:
    worst = np.abs(np.asarray(got) - want).max()
    assert worst <= share * want.std(), f"{worst / want.std():.1e} of the standard deviation"


@torch.no_grad()
def test_logits_and_stages(official, image, expected):
    model = two_heads(official).eval()
    assert_parity(model(image), expected["logits"])
    maps = model.forward_intermediates(image, intermediates_only=True)
    for number, got in enumerate(maps):
        assert_parity(sample(got.numpy(), 4096)[::5], expected[f"stage{number}"])


@torch.no_grad()
def test_train_mode(official, image, expected):
    model = two_heads(official).train()
    model.set_distilled_training()
    logits, dist_logits = model(image)
    assert_parity(logits, expected["train_head"])
    assert_parity(dist_logits, expected["train_dist_head"])


@torch.no_grad()
def test_one_head_takes_both_heads_of_a_file(official, image, expected):
    model = pocketeye.load_checkpoint(pocketeye.create_model("casvit_xs"), official)
    assert_parity(model.eval()(image), expected["logits"])


@torch.no_grad()
def test_fused(official, image, expected):
    fused = two_heads(official).fuse()
    assert_parity(fused(image), expected["logits"])
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())
    assert sum(p.numel() for p in fused.parameters()) < 2_979_700


@torch.no_grad()
@pytest.mark.parametrize("container", ["model", "model_ema", "state_dict", "bare"])
def test_dense_backbone_of_any_container(official, image, expected, container, tmp_path):
    """Detectors and segmenters carry the backbone under a prefix, with a norm on every output."""
    dense = filled(casvit_keys(DEPTHS, DIMS, out_norms=True), gain=0.8)
    file = {f"backbone.{k}": v for k, v in dense.items()} | {"neck.conv.weight": torch.zeros(1)}
    whole = {"optimizer": {"lr": 1.0}, "epoch": "best", "args": argparse.Namespace(lr=6e-3)}
    torch.save(file if container == "bare" else {**whole, container: file}, tmp_path / "model.pth")
    model = pocketeye.create_model("casvit_xs", features_only=True, out_norms=True).eval()
    pocketeye.load_checkpoint(model, tmp_path / "model.pth")
    norms = model.model.out_norms
    for number, got in enumerate(model(image)):
        norm = norms[number]
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).view(-1, 1, 1)
        before = (got - norm.bias.view(-1, 1, 1)) / scale + norm.running_mean.view(-1, 1, 1)
        assert_parity(sample(before.numpy(), 4096)[::5], expected[f"stage{number}"])
