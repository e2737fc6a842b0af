"""A network of timm's, rebuilt of our blocks, is the same function; what is none is refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models.architecture import Architecture
from pocketeye.models.backbones.efficientnet_chain import as_chain
from pocketeye.models.space import SearchSpace


def settled(name: str) -> nn.Module:
    """A network whose BN statistics are none of the defaults."""
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=5)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 64, 64))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.uniform_(-0.5, 0.5)
    return network.eval()


@pytest.mark.parametrize(
    ("name", "op"),
    [("tf_efficientnet_lite0", "k3_e6_relu6_same"), ("mobilenetv2_035", "k3_e6_relu6"),
     ("fbnetc_100", "k3_e6")],
)  # fmt: skip
def test_rebuilt_is_the_same_function(name: str, op: str) -> None:
    network = settled(name)
    chain = as_chain(network, name, 64)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours, theirs = chain(images), network(images)
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()
    assert op in [block.op for block in chain.architecture.blocks]
    assert Architecture.parse(str(chain.architecture)) == chain.architecture
    theirs_cfg: Any = network.pretrained_cfg
    assert chain.default_cfg["mean"] == theirs_cfg["mean"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("mobilenetv3_small_050", "blocks.0.0 .* squeeze"), ("efficientnet_es", "EdgeResidual"),
     ("resnet18", "conv1 of resnet18 is a Conv2d"), ("casvit_xs", "casvit_xs is a")],
)  # fmt: skip
def test_what_is_no_chain_is_refused_by_its_layer(name: str, words: str) -> None:
    import pocketeye

    with pytest.raises(InvalidValue, match=words):
        as_chain(pocketeye.create_model(name), name, 64)


def test_a_space_with_other_ends_round_trips() -> None:
    space = SearchSpace.from_dict(
        {"name": "lite", "input_size": 32, "num_classes": 5,
         "stem": {"chs": 8, "stride": 2, "act": "relu6", "same": True},
         "stages": [{"chs": 8, "depth": 2, "stride": 2, "candidates": ["k3_e6_relu6_same", "skip"]}],
         "head": {"chs": 16, "act": "relu6"}}
    )  # fmt: skip
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert str(space.stem()) == "conv3_relu6_same:3>8/2"
    assert space.head().op == "head16_relu6"
    plain = SearchSpace.from_dict(
        {"name": "a", "input_size": 8, "stages": [{"chs": 8, "depth": 1}]}
    )
    assert plain.to_dict()["stem"] == {"chs": 16, "stride": 2}
    assert plain.to_dict()["head"] == {"chs": 1984}
