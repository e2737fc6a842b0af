"""CAS-ViT as a backbone: counts, timm's contract, official files, fusion."""

from __future__ import annotations

import argparse
import fractions
import logging

import pytest
import timm
import torch
from torch import nn

import pocketeye
from pocketeye.errors import InvalidValue
from tests.conftest import randomise_bn
from tests.models.counting import counts_of
from tests.parity.official import casvit_keys, filled

SHAPES = {
    "casvit_xs": ((2, 2, 4, 2), (48, 56, 112, 220)),
    "casvit_s": ((3, 3, 6, 3), (48, 64, 128, 256)),
    "casvit_m": ((3, 3, 6, 3), (64, 96, 192, 384)),
    "casvit_t": ((3, 3, 6, 3), (96, 128, 256, 512)),
}
TINY = {"depths": (1, 1, 2, 1), "dims": (8, 12, 16, 24)}


def tiny(**kwargs) -> nn.Module:
    torch.manual_seed(0)
    return randomise_bn(pocketeye.create_model("casvit_xs", **{**TINY, **kwargs})).eval()


def num_params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# One head, two heads, four output norms instead of heads (fact sheet, section 1.4).
@pytest.mark.parametrize(
    ("name", "one", "two", "dense"),
    [
        ("casvit_xs", 2_979_700, 3_200_700, 2_759_132),
        ("casvit_s", 5_507_224, 5_764_224, 5_250_704),
        ("casvit_m", 12_036_520, 12_421_520, 11_652_224),
        ("casvit_t", 21_250_120, 21_763_120, 20_738_080),
    ],
)
def test_params_are_exact(name, one, two, dense):
    with torch.device("meta"):
        assert num_params(pocketeye.create_model(name)) == one
        assert num_params(pocketeye.create_model(name, distilled=True)) == two
        backbone = pocketeye.create_model(name, features_only=True, out_norms=True)
    assert num_params(backbone) == dense


# Convolutions and linear layers at 224 (fact sheet, section 1.4).
@pytest.mark.parametrize(
    ("name", "mmacs"),
    [("casvit_xs", 546.8), ("casvit_s", 912.0), ("casvit_m", 1859.1), ("casvit_t", 3556.9)],
)
def test_macs(name, mmacs):
    assert round(counts_of(name, 224).macs / 1e6, 1) == mmacs


@pytest.mark.parametrize(
    ("name", "heads"), [*((name, 1) for name in SHAPES), ("casvit_xs", 2), ("casvit_s", 2)]
)
def test_official_keys_of_every_variant_load(name, heads, tmp_path):
    keys = casvit_keys(*SHAPES[name], heads=heads)
    assert len(keys) == {"casvit_xs": 522}.get(name, 762) + 2 * (heads - 1)
    state = filled(keys)
    torch.save({"model": state, "args": argparse.Namespace(model=name)}, tmp_path / "m.pth")
    model = pocketeye.create_model(name, distilled=heads == 2)
    pocketeye.load_checkpoint(model, tmp_path / "m.pth")
    torch.testing.assert_close(model.stem[2].conv.weight, state["patch_embed.3.weight"])
    assert torch.equal(model.stages[3].downsample.norm.bias, state["network.5.norm.bias"])
    assert torch.equal(model.head.weight, state["head.weight"])


def test_features_only_takes_a_classifier_file(caplog):
    state = filled(casvit_keys(**TINY, num_classes=7))
    backbone = tiny(features_only=True, out_norms=True)
    fresh = {k: v.clone() for k, v in backbone.model.out_norms.state_dict().items()}
    with caplog.at_level(logging.INFO, logger="pocketeye"):
        pocketeye.load_checkpoint(backbone, state)
    assert torch.equal(
        backbone.model.stages[0].blocks[0].norm1.weight, state["network.0.0.norm1.weight"]
    )
    for key, value in backbone.model.out_norms.state_dict().items():
        assert torch.equal(value, fresh[key])
    assert "out_norms.0, out_norms.1, out_norms.2, out_norms.3: left as they are" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda s: s.pop("network.2.0.attn.dwc.bias"),
            r"1 missing \(stages.1.blocks.0.attn.conv_s",
        ),
        (lambda s: s.update({"network.0.7.attn.dwc.bias": torch.zeros(8)}), "1 unexpected"),
        (lambda s: s.update({"head.weight": torch.zeros(9, 24)}), r"head.weight \(9, 24\), here"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(spoil, message):
    state = filled(casvit_keys(**TINY, num_classes=7))
    spoil(state)
    model = tiny(num_classes=7)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(InvalidValue, match=message):
        pocketeye.load_checkpoint(model, state)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_file_of_another_variant_is_named():
    stages = "2x48, 2x56, 4x112, 2x220, the network has 3x48, 3x64, 6x128, 3x256"
    with pytest.raises(InvalidValue, match=f"fit casvit_s: .*stages {stages}"):
        pocketeye.load_checkpoint(
            pocketeye.create_model("casvit_s"), filled(casvit_keys(*SHAPES["casvit_xs"]))
        )


def test_only_a_namespace_is_let_through(tmp_path):
    state = filled(casvit_keys(**TINY))
    torch.save({"model": state, "args": fractions.Fraction(1, 2)}, tmp_path / "m.pth")
    with pytest.raises(InvalidValue, match="is refused"):
        pocketeye.load_checkpoint(tiny(), tmp_path / "m.pth")


@pytest.mark.parametrize("size", [(32, 32), (97, 131), (64, 224)])
def test_any_input_size_and_number_of_channels(size):
    model = tiny(in_chans=5, num_classes=3)
    assert model(torch.zeros(2, 5, *size)).shape == (2, 3)


def test_timm_contract():
    model = tiny(num_classes=6, drop_path_rate=0.1)
    x = torch.randn(2, 3, 64, 64)
    features = model.forward_features(x)
    assert features.shape == (2, 24, 2, 2)
    assert model.forward_head(features, pre_logits=True).shape == (2, 24)
    torch.testing.assert_close(model.forward_head(features), model(x))
    final, maps = model.forward_intermediates(x, indices=[1, 3])
    torch.testing.assert_close(final, features)
    assert [m.shape[1:] for m in maps] == [(12, 8, 8), (24, 2, 2)]
    (early,) = model.forward_intermediates(x, indices=[0], stop_early=True, intermediates_only=True)
    assert early.shape == (2, 8, 16, 16)
    model.set_grad_checkpointing()
    model.train()(x).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.reset_classifier(4)
    assert model.eval()(x).shape == (2, 4)
    model.reset_classifier(0)
    assert model(x).shape == (2, 24)
    model.reset_classifier(0, "")
    assert model(x).shape == (2, 24, 2, 2)


def test_feature_info_and_out_indices():
    model = timm.create_model("casvit_xs", features_only=True, out_indices=(1, 3))
    assert model.feature_info.channels() == [56, 220]
    assert model.feature_info.reduction() == [8, 32]
    assert [m.shape[1:] for m in model(torch.zeros(1, 3, 64, 64))] == [(56, 8, 8), (220, 2, 2)]


def test_checkpointed_features_are_the_same():
    model = tiny(features_only=True).train()
    x = torch.randn(2, 3, 64, 64)
    plain = model(x)
    model.model.set_grad_checkpointing()
    for want, got in zip(plain, model(x), strict=True):
        torch.testing.assert_close(got, want)


def test_layer_decay_groups_follow_the_depth():
    from timm.optim import param_groups_layer_decay

    model = tiny()
    groups = param_groups_layer_decay(model, layer_decay=0.5)
    scale = {id(p): g["lr_scale"] for g in groups for p in g["params"]}
    order = [model.stem[0].conv, model.stages[1].downsample.conv, model.stages[2].blocks[1].mlp.fc1]
    scales = [scale[id(module.weight)] for module in [*order, model.head]]
    assert scales == sorted(scales)
    assert len(set(scales)) == 4


def test_stochastic_depth_rises_to_its_rate_and_spares_local_perception():
    model = tiny(drop_path_rate=0.2)
    blocks = [block for stage in model.stages for block in stage.blocks]
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])


@torch.no_grad()
@pytest.mark.parametrize("kwargs", [{}, {"distilled": True}, {"num_classes": 0}])
def test_fuse_is_exact_and_leaves_the_original_alone(kwargs):
    model = tiny(**kwargs).double()
    x = torch.randn(2, 3, 75, 64, dtype=torch.float64)  # borders matter: odd sizes have them
    before = {k: v.clone() for k, v in model.state_dict().items()}
    fused = model.fuse()
    torch.testing.assert_close(fused(x), model(x), rtol=1e-9, atol=1e-9)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    norms = [name for name, m in fused.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == (["norm"] if kwargs == {"num_classes": 0} else [])
    torch.testing.assert_close(fused.fuse()(x), fused(x), rtol=0, atol=0)


@torch.no_grad()
def test_fuse_keeps_what_leaves_the_network():
    model = tiny(features_only=True, out_norms=True).model.double()
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    fused = model.fuse()
    for want, got in zip(
        model.forward_intermediates(x, intermediates_only=True),
        fused.forward_intermediates(x, intermediates_only=True),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    norms = [name for name, m in fused.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [f"out_norms.{n}" for n in range(4)]


def test_mistakes_say_what_to_do():
    with pytest.raises(InvalidValue, match="make it with distilled=True"):
        tiny().set_distilled_training()
    with pytest.raises(InvalidValue, match="global_pool must be 'avg'"):
        tiny(global_pool="max")
    with pytest.raises(
        InvalidValue, match=r"published at https://github.com/Tianfang-Zhang/CAS-ViT"
    ):
        pocketeye.create_model("casvit_xs", pretrained=True)
