"""Describe timm's networks of inverted residuals as an :class:`Architecture`, with their weights.

EfficientNet-Lite, MobileNetV2, MnasNet, FBNet-C and their like are chains of the blocks that
:mod:`pocketeye.models.blocks` builds: stem, inverted residuals (the first often without its first 1x1),
1x1 convolution, pooling, classifier. What is none (squeeze-and-excite, a fused block, attention) is
refused by the name of its layer.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, cast

from timm.layers import Conv2dSame
from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models._create import build_network
from pocketeye.models.architecture import Architecture, BlockSpec
from pocketeye.models.backbones.fbnet import FBNet
from pocketeye.models.ops import (
    ACTS,
    Act,
    HeadOp,
    InvertedResidualOp,
    StemOp,
    style_of,
)
from pocketeye.models.size import Size

_ACTS: dict[type[nn.Module], Act] = {
    nn.ReLU: "relu", nn.ReLU6: "relu6", nn.Hardswish: "hswish",
}  # fmt: skip
_REMEDY = (
    "only chains of inverted residuals (EfficientNet-Lite, MobileNetV2, MnasNet, FBNet) can be"
)
# Ours, torch's default: another one is made up for in the running variance.
_EPS = 1e-5


def as_chain(network: nn.Module, name: str, input_size: Size) -> FBNet:
    """Return the same network built of our blocks, in eval mode; the one given is not changed.

    Args:
        name: of the network, for the architecture and for messages.
        input_size: side of the images it sees.

    Raises:
        InvalidValue: a layer is no inverted residual; the sentence names it.
    """
    if isinstance(network, FBNet):
        architecture = network.architecture.with_(input_size=input_size)
        chain = cast(FBNet, build_network(architecture))
        chain.load_state_dict(network.state_dict())
        return chain.eval()
    # The blocks first: they tell people more of why a network is none than its last layers do.
    blocks = list(_blocks(network))
    specs = tuple(_spec(where, block, name) for where, block in blocks)
    _require_known_parts(network, name)
    parts: Any = network
    stem = StemOp(
        kernel=parts.conv_stem.kernel_size[0], act=_act_of(parts.bn1, "bn1", name),
        same=isinstance(parts.conv_stem, Conv2dSame),
    )  # fmt: skip
    head = HeadOp(width=parts.conv_head.out_channels, act=_act_of(parts.bn2, "bn2", name))
    conv = parts.conv_stem
    architecture = Architecture(
        name=name,
        input_size=input_size,
        stem=BlockSpec(
            op=f"conv{stem.kernel}{style_of(stem)}", in_chs=conv.in_channels,
            out_chs=conv.out_channels, stride=conv.stride[0],
        ),
        blocks=specs,
        head=BlockSpec(
            op=f"head{head.width}{style_of(head)}", in_chs=parts.conv_head.in_channels,
            out_chs=parts.classifier.out_features,
        ),
    )  # fmt: skip
    chain = cast(FBNet, build_network(architecture))
    _copy(chain, network, [block for _, block in blocks])
    _set_config(chain, network)
    return chain.eval()


def _require_known_parts(network: nn.Module, name: str) -> None:
    """Refuse a network with other parts than a chain has, by the first of them."""
    known = ("conv_stem", "bn1", "blocks", "conv_head", "bn2", "global_pool", "classifier")
    for part, module in network.named_children():
        if part not in known:
            raise _refused(name, part, module)
    absent = [part for part in known if not hasattr(network, part)]
    if absent:
        raise InvalidValue(f"{name} has no {absent[0]}, and {_REMEDY} searched from")
    if not isinstance(cast(Any, network).classifier, nn.Linear):
        raise InvalidValue(f"{name} has no classifier, and {_REMEDY} searched from")


def _blocks(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if not hasattr(network, "conv_stem"):
        return
    for number, stage in enumerate(getattr(network, "blocks", ())):
        for place, block in enumerate(stage):
            yield f"blocks.{number}.{place}", block


def _spec(where: str, block: Any, name: str) -> BlockSpec:
    """Return the spec of a block of timm's."""
    kind = type(block)
    if kind not in (InvertedResidual, DepthwiseSeparableConv):
        raise _refused(name, where, block)
    if not isinstance(block.se, nn.Identity) or not isinstance(block.aa, nn.Identity):
        what = "squeeze-and-excite" if not isinstance(block.se, nn.Identity) else "blur pooling"
        raise InvalidValue(f"{where} of {name} has {what}, and {_REMEDY} searched from")
    if getattr(block, "conv_s2d", None) is not None:
        raise _refused(name, where, block.conv_s2d)
    first_pw = kind is InvertedResidual
    dw, last = block.conv_dw, block.conv_pwl if first_pw else block.conv_pw
    first = block.conv_pw if first_pw else dw
    in_chs, mid_chs = first.in_channels, dw.out_channels
    act = _act_of(block.bn2 if first_pw else block.bn1, where, name)
    if mid_chs % in_chs or first.groups not in (1, in_chs) or dw.groups != mid_chs:
        raise InvalidValue(
            f"{where} of {name} has {mid_chs} hidden channels of {in_chs}, no whole multiple, and "
            f"{_REMEDY} searched from"
        )
    op = InvertedResidualOp(
        kernel=dw.kernel_size[0], expansion=mid_chs // in_chs, first_pw=first_pw, act=act,
        same=isinstance(dw, Conv2dSame),
    )  # fmt: skip
    spec = BlockSpec(op=op_name(op), in_chs=in_chs, out_chs=last.out_channels, stride=dw.stride[0])
    if spec.keeps_shape != block.has_skip:
        raise InvalidValue(
            f"{where} of {name} lacks the usual shortcut, and {_REMEDY} searched from"
        )
    return spec


def op_name(op: InvertedResidualOp) -> str:
    """Return the name of an op, as :func:`pocketeye.models.ops.parse_op` reads it."""
    groups = f"_g{op.groups}" if op.groups > 1 else ""
    nopw = "" if op.first_pw else "_nopw"
    return f"k{op.kernel}_e{op.expansion}{groups}{nopw}{style_of(op)}"


def _act_of(norm: Any, where: str, name: str) -> Act:
    act = _ACTS.get(cast("type[nn.Module]", type(getattr(norm, "act", None))))
    if act is None:
        found = type(getattr(norm, "act", norm)).__name__
        raise InvalidValue(
            f"{where} of {name} has the activation {found}, and only {', '.join(ACTS)} can be searched"
        )
    return act


def _refused(name: str, where: str, module: nn.Module) -> InvalidValue:
    return InvalidValue(
        f"{where} of {name} is a {type(module).__name__} and no inverted residual: {_REMEDY} searched "
        "from"
    )


def _copy(chain: FBNet, network: nn.Module, blocks: list[nn.Module]) -> None:
    """Give the chain all weights and statistics."""
    theirs: Any = network
    chain.conv_stem.load_state_dict(theirs.conv_stem.state_dict())
    chain.conv_head.load_state_dict(theirs.conv_head.state_dict())
    chain.classifier.load_state_dict(theirs.classifier.state_dict())
    for ours, norm in ((chain.bn1, theirs.bn1), (chain.bn2, theirs.bn2)):
        ours.load_state_dict(_norm_state(norm))
    mine = itertools.chain.from_iterable(cast(Any, chain.blocks))
    for ours, block in zip(mine, cast(Any, blocks), strict=True):
        whole = isinstance(block, InvertedResidual)
        names = (
            ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
            if whole
            else ("conv_dw", "bn1", "conv_pw", "bn2")
        )
        into = names if whole else ("conv_dw", "bn2", "conv_pwl", "bn3")
        for own, other in zip(into, names, strict=True):
            module = getattr(block, other)
            state = module.state_dict() if other.startswith("conv") else _norm_state(module)
            getattr(ours, own).load_state_dict(state)


def _norm_state(norm: Any) -> dict[str, Tensor]:
    """Return the state of a BN, its variance such that our epsilon gives the same function."""
    state = {key: value.clone() for key, value in norm.state_dict().items()}
    state["running_var"] = (state["running_var"] + (norm.eps - _EPS)).clamp(min=0.0)
    return state


def _set_config(chain: FBNet, network: nn.Module) -> None:
    """Carry over what the network expects of its inputs."""
    theirs: Any = getattr(network, "pretrained_cfg", None) or {}
    wanted = ("mean", "std", "interpolation", "crop_pct")
    chain.default_cfg = {
        **chain.default_cfg, **{key: theirs[key] for key in wanted if key in theirs},
    }  # fmt: skip
    chain.pretrained_cfg = chain.default_cfg
