"""Backbones under dense heads: maps by stride, frozen norms and stages, the pyramid."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import pocketeye
from pocketeye.errors import InvalidValue
from pocketeye.layers import NormedConv
from pocketeye.models import create_backbone, fuse
from pocketeye.models.dense.fpn import FPNBackbone
from pocketeye.predicting.info import ModelInfo

NANO = "fbnet_96_035_1"


@pytest.mark.parametrize("name", [NANO, "test_resnet", "mobilenetv4_conv_small_035"])
def test_maps_of_any_backbone_and_any_size(name):
    body = create_backbone(name, (8, 16, 32)).eval()
    with torch.no_grad():
        maps = FPNBackbone(body, 8, "convs").eval()(torch.randn(1, 3, 75, 97))
    sizes = [tuple(m.shape[1:]) for m in maps.values()]
    assert list(maps) == ["p3", "p4", "p5", "p6", "p7"]
    assert sizes == [(8, 10, 13), (8, 5, 7), (8, 3, 4), (8, 2, 2), (8, 1, 1)]


def test_levels_are_named_by_their_stride():
    pyramid = FPNBackbone(create_backbone(NANO), 8, "pool")
    assert pyramid.strides == (4, 8, 16, 32, 64)
    assert pyramid.names == ("p2", "p3", "p4", "p5", "p6")


def test_p6_comes_from_the_backbone_even_where_p5_is_as_wide():
    pyramid = FPNBackbone(create_backbone("casvit_s", (8, 16, 32)), 256, "convs").eval()
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64)
        c5 = pyramid.body(x)[-1]
        p6 = pyramid.fpn.extra_blocks.p6(c5)
        maps = pyramid(x)
        torch.testing.assert_close(maps["p6"], p6)
        torch.testing.assert_close(maps["p7"], pyramid.fpn.extra_blocks.p7(p6))


@pytest.mark.parametrize("norms", ["live", "sync", "eval", "frozen"])
def test_treatment_of_norms(norms):
    body = create_backbone(NANO, norms=norms).train()
    assert body.training
    bn = body.model.bn1
    before = bn.running_mean.clone()
    sum(m.mean() for m in body(torch.randn(2, 3, 64, 64) + 1)).backward()
    assert torch.equal(bn.running_mean, before) == (norms in ("eval", "frozen"))
    assert (bn.weight.grad is None) == (norms == "frozen")
    assert body.model.conv_stem.weight.grad is not None
    assert isinstance(bn, nn.SyncBatchNorm) == (norms == "sync")
    assert not any(m.training for m in body.eval().modules())


@pytest.mark.parametrize(("stages", "first"), [(4, -1), (3, 0), (2, 1), (1, 2), (0, 3)])
def test_the_first_stages_can_be_left_alone(stages, first):
    tiny = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}
    body = create_backbone("casvit_xs", norms="live", trainable_stages=stages, **tiny).train()
    frozen = {
        int(name.split(".")[2])
        for name, p in body.named_parameters()
        if not p.requires_grad and "stages" in name
    }
    assert frozen == set(range(first + 1))
    assert body.model.stem[0].conv.weight.requires_grad == (stages == 4)
    assert body.model.stem[0].norm.training == (stages == 4)
    if stages:
        last = body.model.stages[3].downsample
        assert last.conv.weight.requires_grad
        assert last.norm.training


def test_dense_casvit_has_the_official_norms_on_its_maps():
    body = create_backbone("casvit_xs", (8, 16, 32))
    kinds = [type(m).__name__ for m in body.model.out_norms]
    assert kinds == ["Identity", *["BatchNorm2d"] * 3]


@torch.no_grad()
@pytest.mark.parametrize("norms", ["live", "sync"])
@pytest.mark.parametrize("extra", ["none", "pool", "convs"])
def test_norms_on_the_maps_are_folded_into_what_reads_them(extra, norms):
    tiny = {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}
    strides = (8, 16, 32) if extra == "convs" else (4, 8, 16, 32)
    body = create_backbone("casvit_xs", strides, norms=norms, **tiny)
    model = nn.Sequential(FPNBackbone(body, 12, extra))
    for module in model.modules():
        if hasattr(module, "running_var"):
            for tensor, low, high in (
                (module.weight, 0.5, 2), (module.bias, -1, 1),
                (module.running_mean, -1, 1), (module.running_var, 0.3, 3),
            ):  # fmt: skip
                nn.init.uniform_(tensor, low, high)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.eval()
    fused = fuse(model)
    x = torch.randn(2, 3, 160, 96)
    want, got = model(x), fused(x)
    assert list(got) == list(want)
    for level, value in want.items():
        torch.testing.assert_close(
            got[level], value, rtol=1e-5, atol=1e-5 * value.std().item() + 1e-5
        )
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in fused.modules())
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], value) for name, value in before.items())


@torch.no_grad()
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, 1), (3, 1, 1), (5, 1, 2), (1, 1, 0)]
)
def test_a_norm_before_padding_keeps_the_border_right(kernel, stride, padding):
    norm = nn.BatchNorm2d(4).eval()
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    conv, x = nn.Conv2d(4, 6, kernel, stride, padding), torch.randn(2, 4, 9, 8)
    want = conv(norm(x))
    torch.testing.assert_close(NormedConv(norm, conv)(x), want, rtol=0, atol=1e-5)
    if padding:  # what ignoring the border would give is far from it
        plain = NormedConv(norm, conv)
        constant = plain.conv(x) + plain.shift.sum((2, 3))[None, :, :, None]
        assert (constant - want).abs().max() > 0.1


def test_mistakes_say_what_to_do():
    with pytest.raises(InvalidValue, match=r"VisionTransformer .*4, 8, 32 .*16"):
        create_backbone("vit_tiny_patch16_224")
    with pytest.raises(InvalidValue, match="Did you mean 'frozen'"):
        create_backbone(NANO, norms="frosen")  # type: ignore[arg-type]
    with pytest.raises(InvalidValue, match="0 to 4, not 5"):
        create_backbone(NANO, trainable_stages=5)
    with pytest.raises(InvalidValue, match="unknown model"):
        create_backbone("fbnet_q")


def test_a_run_brings_its_weights(tmp_path):
    from safetensors.torch import save_file

    model = pocketeye.create_model(NANO, num_classes=3)
    ModelInfo.default(NANO, ("a", "b", "c"), 3, 64).save(tmp_path)
    save_file(model.state_dict(), tmp_path / "best.safetensors")
    body = create_backbone(tmp_path)
    assert torch.equal(body.model.conv_stem.weight, model.conv_stem.weight)
