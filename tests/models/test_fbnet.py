"""FBNet: counts of the fact sheet, timm's contract, and parity with timm's own FBNet-C."""

from __future__ import annotations

import pytest
import timm
import torch

import pocketeye
from pocketeye.models import FBNet, build_block, count
from pocketeye.models.architecture import BlockSpec
from pocketeye.models.backbones.fbnet import architectures
from tests.conftest import randomise_bn

# Fact sheet, section 2.3: MACs and weights (no BN, no bias), both in units.
COUNTS = {
    "fbnet_a": (249_921_848, 4_286_480),
    "fbnet_b": (296_614_728, 4_778_640),
    "fbnet_c": (384_960_160, 5_526_832),
    "fbnet_s8": (292_922_680, None),
    "fbnet_iphonex": (321_798_968, None),
    "fbnet_96_035_1": (12_944_208, 1_833_968),
    "fbnet_a_mobile_cv": (244_452_664, 4_270_288),
    "fbnet_b_mobile_cv": (291_004_424, 4_766_672),
    "fbnet_c_mobile_cv": (378_136_224, 5_525_424),
}


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_counts_are_the_published_ones(name):
    model = pocketeye.create_model(name)
    size = model.architecture.input_size
    macs, weights = COUNTS[name]
    counted = count(model, (3, size, size))
    assert counted.macs == macs
    assert weights is None or counted.weights == weights
    assert counted.params == sum(p.numel() for p in model.parameters())


def test_every_registered_fbnet_is_counted():
    assert set(pocketeye.list_models("fbnet_*")) == set(COUNTS) == set(architectures())


@pytest.mark.parametrize("name", ["fbnet_a", "fbnet_96_035_1", "fbnet_b_mobile_cv"])
def test_every_parameter_gets_a_gradient(name):
    model = pocketeye.create_model(name, num_classes=5, drop_path_rate=0.1)
    model(torch.randn(2, 3, 64, 64)).square().mean().backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("name", ["fbnet_a", "fbnet_c", "fbnet_96_035_1"])
def test_features_have_the_promised_shapes(name):
    model = timm.create_model(name, features_only=True)
    maps = model(torch.randn(1, 3, 64, 64))
    assert model.feature_info.reduction() == [2, 4, 8, 16, 32]
    for chs, reduction, x in zip(
        model.feature_info.channels(), model.feature_info.reduction(), maps, strict=True
    ):
        assert x.shape == (1, chs, 64 // reduction, 64 // reduction)


def test_intermediates_are_those_of_the_plain_forward():
    model = randomise_bn(pocketeye.create_model("fbnet_a", num_classes=4)).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        last, maps = model.forward_intermediates(x)
        torch.testing.assert_close(model.forward_head(last), model(x))
        taken = model.forward_intermediates(
            x, indices=[1], stop_early=True, intermediates_only=True
        )
    torch.testing.assert_close(taken[0], maps[1])


def test_timm_contract():
    model = pocketeye.create_model("fbnet_c", num_classes=7, in_chans=1)
    x = torch.randn(2, 1, 64, 64)
    assert model(x).shape == (2, 7)
    assert model.forward_head(model.forward_features(x), pre_logits=True).shape == (2, 1984)
    model.reset_classifier(3)
    assert model(x).shape == (2, 3)
    assert model.architecture.num_classes == 3
    plain = model.train()(x)
    model.set_grad_checkpointing()
    torch.testing.assert_close(model(x), plain)
    assert timm.data.resolve_model_data_config(model)["crop_pct"] == 0.875


def test_prune_keeps_the_maps():
    model = pocketeye.create_model("fbnet_a").eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = model.forward_intermediates(x, indices=[2], intermediates_only=True)[0]
        model.prune_intermediate_layers([2])
        after = model.forward_intermediates(x, indices=[2], intermediates_only=True)[0]
    torch.testing.assert_close(before, after)
    assert sum(p.numel() for p in model.parameters()) < 200_000


def test_a_registered_name_cannot_be_taken_twice():
    from pocketeye.models._registry import register_model

    def fbnet_c() -> FBNet:
        raise AssertionError

    with pytest.raises(ValueError, match="already registered"):
        register_model(fbnet_c)


@pytest.mark.parametrize("op", ["k3_e1", "k3_e1_g2", "k5_e3", "k5_e6_g2", "k5_e1_g2_nopw"])
@pytest.mark.parametrize(("out_chs", "stride"), [(16, 1), (24, 2)])
def test_blocks_have_their_shape(op, out_chs, stride):
    spec = BlockSpec(op=op, in_chs=16, out_chs=out_chs, stride=stride)
    y = build_block(spec)(torch.randn(2, 16, 9, 9))
    assert y.shape == (2, out_chs, spec.out_size(9), spec.out_size(9))


def test_the_shortcut_is_there_only_where_the_shape_is_kept():
    for spec, kept in (("k3_e3:8>8/1", True), ("k3_e3:8>16/1", False), ("k3_e3:8>8/2", False)):
        assert build_block(BlockSpec.parse(spec)).has_skip is kept


def test_shuffle_interleaves_groups():
    from pocketeye.layers import ChannelShuffle

    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert ChannelShuffle(2)(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]


def test_timm_weights_give_timm_logits():
    """timm's own FBNet-C under random weights; its indices leave the skip of stage 2 out."""
    reference = randomise_bn(timm.create_model("fbnetc_100"))
    state = reference.state_dict()
    assert len(state) == 392
    ours = pocketeye.create_model("fbnet_c")
    assert state.keys() != ours.state_dict().keys()
    pocketeye.load_checkpoint(ours, state)
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), reference.eval()(x), rtol=1e-5, atol=1e-5)
    # A round trip: from our keys the same weights load again.
    again = pocketeye.load_checkpoint(pocketeye.create_model("fbnet_c"), ours.state_dict())
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in ours.state_dict().items())
