"""Semantic FPN on any backbone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models import create_semantic

NANO = "fbnet_96_035_1"


# Fact sheet, section 1.4: millions of parameters, 150 classes (it rounds 15.845 up).
@pytest.mark.parametrize(
    ("backbone", "want"),
    [("casvit_xs", 6.9), ("casvit_s", 9.4), ("casvit_m", 15.9), ("casvit_t", 25.0)],
)
def test_parameters_of_the_official_networks(backbone, want):
    model = create_semantic(backbone, 150)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(want, abs=0.06)


@pytest.mark.parametrize("size", [(64, 64), (65, 97), (33, 128)])
@pytest.mark.parametrize("full_size", [True, False])
def test_logits_of_any_size(size, full_size):
    model = create_semantic(NANO, 7, fpn_channels=16, channels=8, full_size=full_size).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, *size))
    want = size if full_size else tuple(-(-n // 4) for n in size)
    assert logits.shape == (2, 7, *want)


@pytest.mark.parametrize("backbone", [NANO, "casvit_xs", "test_resnet"])
def test_a_training_step_reaches_every_parameter(backbone):
    model = create_semantic(backbone, 2).train()
    logits = model(torch.randn(2, 3, 64, 96))
    nn.functional.cross_entropy(logits, torch.randint(0, 2, (2, 64, 96))).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []


def test_dropout_is_of_channels_and_in_training_only():
    model = create_semantic(NANO, 3, drop_rate=0.5, full_size=False)
    dropped = []
    model.head.drop.register_forward_hook(lambda m, args, out: dropped.append(out))
    x = torch.randn(2, 3, 64, 64)
    model.train()(x)
    model.eval()(x)
    gone = (dropped[0].flatten(2) == 0).all(-1).float().mean().item()
    assert 0.3 < gone < 0.7
    assert (dropped[1].flatten(2) == 0).all(-1).float().mean().item() < 0.3


def test_norms_of_the_head_are_chosen_apart_from_the_backbones():
    model = create_semantic(NANO, 3, norms="eval", head_norms="sync").train()
    assert all(
        isinstance(level[0].norm, nn.SyncBatchNorm) and level[0].norm.training
        for level in model.head.levels
    )
    assert not model.backbone.body.model.bn1.training


def test_mistakes_say_what_to_do():
    with pytest.raises(InvalidValue, match="at least one class"):
        create_semantic(NANO, 0)
    with pytest.raises(InvalidValue, match="'live' or 'sync', not 'frozen'"):
        create_semantic(NANO, 2, head_norms="frozen")
