"""Networks of inverted residuals and additive blocks, built from their description."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, FBNet, build_block, count, fuse, load_checkpoint
from pocketeye.models.additive import AdditiveBlock, ConvNorm
from pocketeye.models.architecture import BlockSpec
from tests.conftest import randomise_bn

HYBRID = Architecture.parse(
    "hybrid@64=conv3:3>8/2|skip:8>8/1|k3_e3:8>16/2|add_e2:16>16/1|k3_e1_g2:16>16/1"
    "|add_e4:16>24/2|skip:24>24/1|add_e2:24>24/1|head32:24>5/1"
)
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def network(**kwargs: float) -> FBNet:
    torch.manual_seed(0)
    net = FBNet(HYBRID, **kwargs)  # type: ignore[arg-type]
    return randomise_bn(net)  # type: ignore[return-value]


def block(text: str, **kwargs: float) -> nn.Module:
    torch.manual_seed(1)
    return build_block(BlockSpec.parse(text), **kwargs)


def test_description_round_trips(tmp_path) -> None:
    assert Architecture.parse(str(HYBRID)) == HYBRID
    assert Architecture.load(HYBRID.save(tmp_path / "a.json")) == HYBRID
    assert [len(stage) for stage in HYBRID.stages()] == [1, 3, 3]


@pytest.mark.parametrize("text", ["add_e3:16>16/1", "add_e1:16>24/1", "add_e2:16>16/2"])
def test_blocks_have_their_shape(text) -> None:
    spec = BlockSpec.parse(text)
    assert block(text)(torch.randn(2, 16, 9, 9)).shape == (
        2, spec.out_chs, spec.out_size(9), spec.out_size(9),
    )  # fmt: skip


def test_a_block_is_casvits_own_with_torchs_initialisation() -> None:
    torch.manual_seed(1)
    expected = AdditiveBlock(16, 3.0).state_dict()
    state = block("add_e3:16>16/1").state_dict()
    assert state.keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in state.items())


def test_a_convolution_comes_first_where_the_shape_changes() -> None:
    torch.manual_seed(1)
    block_of_24, downsample = AdditiveBlock(24, 2.0), ConvNorm(16, 24, 2)
    module = block("add_e2:16>24/2")
    names = [name for name, _ in module.named_children()]
    assert names == ["downsample", "block"]
    for ours, other in zip(module.children(), (downsample, block_of_24), strict=True):
        assert all(torch.equal(v, other.state_dict()[k]) for k, v in ours.state_dict().items())


def test_cost_of_a_block_is_that_of_its_formula() -> None:
    # q, k, v: 3 d^2; local perception: 2 d^2; MLP: 2 R d^2; five depthwise 3x3; two spatial gates
    # a pixel, two channel gates d^2 an image.
    dim, ratio, pixels = 16, 4, 81
    macs = pixels * (dim**2 * (5 + 2 * ratio) + 5 * 9 * dim + 2 * dim) + 2 * dim**2
    assert count(block("add_e4:16>16/1"), (dim, 9, 9)).macs == macs


def test_every_parameter_gets_a_gradient() -> None:
    net = network(drop_path_rate=0.2)
    net(IMAGES).square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
    # Biases before a BN have none but rounding errors.
    weights = [(n, p) for n, p in net.named_parameters() if p.ndim > 1]
    assert [n for n, p in weights if not p.grad.any()] == []


def test_stochastic_depth_rises_through_both_kinds_of_blocks() -> None:
    rates = [m.drop_prob for m in network(drop_path_rate=0.3).modules() if hasattr(m, "drop_prob")]
    assert rates == pytest.approx([0.3 * n / 6 for n in (1, 2, 3, 4, 6)])


def test_features_are_those_promised() -> None:
    net = network().eval()
    maps = net.forward_intermediates(IMAGES, intermediates_only=True)
    for info, x in zip(net.feature_info, maps, strict=True):
        side = 64 // info["reduction"]
        assert x.shape == (2, info["num_chs"], side, side)


def test_checkpoints_load_also_where_indices_leave_skips_out() -> None:
    state = network().state_dict()
    squeezed = {k.replace("blocks.2.2.", "blocks.2.1."): v for k, v in state.items()}
    assert squeezed.keys() != state.keys()
    net = FBNet(HYBRID)
    for given in (state, squeezed):
        loaded = load_checkpoint(net, given).state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in state.items())
    fewer = {k: v for k, v in state.items() if not k.startswith("blocks.2.2.")}
    with pytest.raises(InvalidValue, match=r"4 blocks .*5"):
        load_checkpoint(net, fewer)


def test_fused_keeps_the_logits_and_no_norm_before_a_convolution() -> None:
    net = network()
    small = fuse(net)
    assert net.training
    additive = [m for m in small.modules() if isinstance(m, AdditiveBlock)]
    assert len(additive) == 3
    assert not any(isinstance(m, nn.BatchNorm2d) for block in additive for m in block.modules())
    assert not any(isinstance(m, ConvNorm) for m in small.modules())
    with torch.no_grad():
        torch.testing.assert_close(small(IMAGES), net.eval()(IMAGES), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fuse(small)(IMAGES), small(IMAGES))
