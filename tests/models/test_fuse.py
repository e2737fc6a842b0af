"""The shipped form of any network computes the same."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import pocketeye
from pocketeye.models import fuse
from pocketeye.models._fuse import fold_for_torch
from tests.conftest import randomise_bn


@torch.no_grad()
@pytest.mark.parametrize("name", ["casvit_xs", "repvit_m0_9", "mobilenetv4_conv_small", "fbnet_a"])
def test_fused_networks_are_copies_that_compute_the_same(name):
    torch.manual_seed(0)
    model = randomise_bn(pocketeye.create_model(name, num_classes=5)).eval()
    x = torch.randn(2, 3, 64, 64)
    expected, before = model(x), {k: v.clone() for k, v in model.state_dict().items()}
    fused = fuse(model)
    torch.testing.assert_close(fused(x), expected, rtol=0, atol=1e-3 * expected.std().item())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not {id(p) for p in fused.parameters()} & {id(p) for p in model.parameters()}
    if name.startswith(("casvit", "repvit")):
        assert len(list(fused.parameters())) < len(list(model.parameters()))


@torch.no_grad()
def test_fused_features():
    model = pocketeye.create_model("casvit_xs", features_only=True, depths=(1, 1, 1, 1)).eval()
    randomise_bn(model)
    x = torch.randn(1, 3, 64, 64)
    fused = fuse(model)
    for want, got in zip(model(x), fused(x), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    assert fused.feature_info.channels() == model.feature_info.channels()
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fused.modules())


@torch.no_grad()
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv2_035", "fbnet_96_035_1"])
def test_a_backbone_folded_for_torch_gives_the_same_maps(name):
    torch.manual_seed(0)
    backbone = timm.create_model(name, features_only=True)
    randomise_bn(backbone)
    backbone.eval()
    folded = fold_for_torch(backbone)
    image = torch.randn(1, 3, 64, 64)
    for got, want in zip(folded(image), backbone(image), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
    if name == "tf_efficientnet_lite0":
        assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
        assert any(isinstance(m, nn.BatchNorm2d) for m in backbone.modules())  # left alone
