"""What every network of ours promises, whatever its name."""

from __future__ import annotations

import pytest
import timm
import torch

import pocketeye
from pocketeye.models import fuse
from pocketeye.models._registry import own_models
from tests.conftest import randomise_bn

SIZE = 64


def make(name: str, **kwargs) -> torch.nn.Module:
    torch.manual_seed(0)
    return randomise_bn(pocketeye.create_model(name, **kwargs))


@pytest.mark.parametrize("name", own_models())
def test_forward_backward_and_reload(name, tmp_path):
    model = make(name, num_classes=3).train()
    logits = model(torch.randn(2, 3, SIZE, SIZE))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    again = make(name, num_classes=3)
    pocketeye.load_checkpoint(again, model.state_dict())
    x = torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(x), model.eval()(x), rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("name", own_models())
def test_features_are_those_that_are_promised(name):
    model = timm.create_model(name, features_only=True).eval()
    maps = model(torch.randn(1, 3, SIZE, SIZE))
    promised = [
        (1, chs, SIZE // stride, SIZE // stride)
        for chs, stride in zip(
            model.feature_info.channels(), model.feature_info.reduction(), strict=True
        )
    ]
    assert [tuple(m.shape) for m in maps] == promised


@torch.no_grad()
@pytest.mark.parametrize("name", own_models())
def test_fused_and_grey(name):
    model = make(name, num_classes=4, in_chans=1).eval()
    x = torch.randn(2, 1, SIZE, SIZE)
    expected = model(x)
    fused = fuse(model)
    torch.testing.assert_close(fused(x), expected, rtol=0, atol=1e-3 * expected.std().item())


@pytest.mark.parametrize("name", own_models())
def test_configuration_is_that_of_the_network(name):
    model = timm.create_model(name)
    cfg = model.default_cfg
    classifiers = cfg["classifier"] if isinstance(cfg["classifier"], tuple) else [cfg["classifier"]]
    names = dict(model.named_modules())
    assert cfg["num_classes"] == names[classifiers[0]].out_features
    assert names[cfg["first_conv"]].in_channels == cfg["input_size"][0]
    assert model.num_features == names[classifiers[0]].in_features
