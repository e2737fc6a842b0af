"""What every network of ours promises, whatever its name: timm's contract, and ours beyond it."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models import FeatureInfo
from torch import fx, nn

import pocketeye
from pocketeye.errors import InvalidValue
from pocketeye.models import fuse
from pocketeye.models._registry import own_models
from tests.conftest import randomise_bn

SIZE = 64  # pixels: the last map is 2x2, the smallest that is more than a vector

every_name = pytest.mark.parametrize("name", own_models())


def make(name: str, **kwargs) -> nn.Module:
    torch.manual_seed(0)
    return randomise_bn(pocketeye.create_model(name, **kwargs))


@every_name
def test_forward_backward_and_reload(name):
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
@every_name
def test_features_are_those_that_are_promised(name):
    model = timm.create_model(name, features_only=True).eval()
    maps = model(torch.randn(1, 3, SIZE, SIZE))
    assert [tuple(m.shape) for m in maps] == promised_shapes(model.feature_info)


@torch.no_grad()
@every_name
def test_intermediates_lead_to_the_features(name):
    model = make(name).eval()
    x = torch.randn(1, 3, SIZE, SIZE)
    expected = model.forward_features(x)
    final, maps = model.forward_intermediates(x)
    assert [tuple(m.shape) for m in maps] == promised_shapes(
        FeatureInfo(model.feature_info, len(model.feature_info))
    )
    assert torch.equal(final, expected)
    (only,) = model.forward_intermediates(x, [1], stop_early=True, intermediates_only=True)
    assert torch.equal(only, maps[1])
    model.set_grad_checkpointing()
    torch.testing.assert_close(model.forward_features(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.forward_intermediates(x)[0], expected, rtol=1e-4, atol=1e-5)


def promised_shapes(info: FeatureInfo) -> list[tuple[int, ...]]:
    rows = zip(info.channels(), info.reduction(), strict=True)
    return [(1, chs, SIZE // stride, SIZE // stride) for chs, stride in rows]


@torch.no_grad()
@every_name
def test_classifier_and_pooling_can_be_taken_away(name):
    model = make(name).eval()
    x = torch.randn(1, 3, SIZE, SIZE)
    features = model.forward_features(x)
    assert features.shape == (1, model.num_features, SIZE // 32, SIZE // 32)
    pooled = model.forward_head(features, pre_logits=True)
    assert pooled.shape == (1, model.head_hidden_size)
    assert torch.equal(model.forward_head(features), model(x))

    model.reset_classifier(0)
    assert model.num_classes == 0
    assert torch.equal(model(x), pooled)
    model.reset_classifier(0, "")
    assert torch.equal(model(x), features)
    with pytest.raises(InvalidValue, match="num_classes=0"):
        model.reset_classifier(5)
    model.reset_classifier(5, "avg")
    assert model(x).shape == (1, model.num_classes) == (1, 5)
    bare = timm.create_model(name, num_classes=0, global_pool="").eval()
    assert bare(x).shape == features.shape


@torch.no_grad()
@every_name
def test_fused_and_grey(name):
    model = make(name, num_classes=4, in_chans=1).eval()
    x = torch.randn(2, 1, SIZE, SIZE)
    expected = model(x)
    fused = fuse(model)
    torch.testing.assert_close(fused(x), expected, rtol=0, atol=1e-3 * expected.std().item())


@torch.no_grad()
@every_name
def test_symbolic_trace_says_the_same(name):
    model = make(name, num_classes=4).eval()
    x = torch.randn(1, 3, SIZE, SIZE)
    graph = fx.GraphModule(model, fx.Tracer(param_shapes_constant=True).trace(model))
    assert torch.equal(graph(x), model(x))
    # What TorchScript and torch.compile read: names, not quoted strings.
    assert graph.forward.__annotations__.get("x") is torch.Tensor


@every_name
def test_configuration_is_that_of_the_network(name):
    model = timm.create_model(name)
    cfg, names = model.default_cfg, dict(model.named_modules())
    classifier = names[cfg["classifier"]]
    assert cfg["num_classes"] == model.num_classes == classifier.out_features
    assert classifier is model.get_classifier()
    assert model.num_features == classifier.in_features
    assert names[cfg["first_conv"]].in_channels == cfg["input_size"][0]
    assert cfg["pool_size"] == tuple(-(-side // 32) for side in cfg["input_size"][1:])
    assert all(row["module"] in names for row in model.feature_info)


@every_name
def test_layer_groups_name_every_parameter(name):
    """timm's layer-wise learning rates find a group for all but the classifier."""
    model = timm.create_model(name)
    for coarse in (False, True):
        groups = timm.models.group_parameters(model, model.group_matcher(coarse))
        found = [key for keys in groups.values() for key in keys]
        assert sorted(found) == sorted(key for key, _ in model.named_parameters())
        assert len(groups) > len(model.feature_info)


def test_a_distilled_network_names_both_heads():
    model = timm.create_model("casvit_xs", distilled=True)
    assert model.default_cfg["classifier"] == ("head", "head_dist")
    assert timm.create_model("casvit_xs").default_cfg["classifier"] == "head"
