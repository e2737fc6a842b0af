"""Build modules from a :class:`BlockSpec`: what the supernet mixes and the latency table times."""

from __future__ import annotations

import math
from collections import OrderedDict

from timm.layers import Conv2dSame, DropPath, SelectAdaptivePool2d
from torch import Tensor, nn

from pocketeye.layers import ChannelShuffle
from pocketeye.models.additive import AdditiveBlock, ConvNorm
from pocketeye.models.architecture import BlockSpec
from pocketeye.models.ops import Act, AdditiveOp, HeadOp, InvertedResidualOp, SkipOp, StemOp

_ACTS: dict[Act, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6, "hswish": nn.Hardswish}


def make_act(act: Act) -> nn.Module:
    """Make the activation of an op."""
    return _ACTS[act](inplace=True)


def _conv(
    in_chs: int, out_chs: int, kernel: int = 1, stride: int = 1, groups: int = 1, same: bool = False
) -> nn.Conv2d:
    # With stride 1 both paddings are alike, and the plain one exports to less.
    if same and stride > 1:
        return Conv2dSame(in_chs, out_chs, kernel, stride=stride, groups=groups, bias=False)
    return nn.Conv2d(
        in_chs, out_chs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False
    )


class InvertedResidual(nn.Module):
    """Build FBNet's block: 1x1 + ReLU, [shuffle], KxK depthwise + ReLU, linear 1x1, BN after each.

    ``(N, in_chs, S, S)`` to ``(N, out_chs, ceil(S / stride), …)``. The shortcut is there where the
    shape is kept. mobile_cv's form (``first_pw=False``) keeps the shuffle although the grouped 1x1
    before it is gone: shuffle, depthwise, grouped 1x1.
    """

    def __init__(
        self, spec: BlockSpec, op: InvertedResidualOp, drop_path_rate: float = 0.0
    ) -> None:
        super().__init__()
        # The paper's expansion is of the input's width, whatever comes out.
        mid_chs = spec.in_chs * op.expansion
        self.has_skip = spec.keeps_shape
        # Identities under timm's names where there is no first 1x1: keys and forward stay the same.
        self.conv_pw: nn.Module = nn.Identity()
        self.bn1: nn.Module = nn.Identity()
        self.act1: nn.Module = nn.Identity()
        if op.first_pw:
            self.conv_pw = _conv(spec.in_chs, mid_chs, groups=op.groups)
            self.bn1 = nn.BatchNorm2d(mid_chs)
            self.act1 = make_act(op.act)
        self.shuffle = ChannelShuffle(op.groups) if op.groups > 1 else nn.Identity()
        self.conv_dw = _conv(mid_chs, mid_chs, op.kernel, spec.stride, groups=mid_chs, same=op.same)
        self.bn2 = nn.BatchNorm2d(mid_chs)
        self.act2 = make_act(op.act)
        self.conv_pwl = _conv(mid_chs, spec.out_chs, groups=op.groups)
        self.bn3 = nn.BatchNorm2d(spec.out_chs)
        self.drop_path = DropPath(drop_path_rate) if drop_path_rate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        x = self.shuffle(self.act1(self.bn1(self.conv_pw(x))))
        x = self.act2(self.bn2(self.conv_dw(x)))
        x = self.bn3(self.conv_pwl(x))
        # No activation after the last 1x1: a linear bottleneck, as in MobileNetV2.
        return self.drop_path(x) + shortcut if self.has_skip else x


def additive_block(spec: BlockSpec, op: AdditiveOp, drop_path_rate: float = 0.0) -> nn.Module:
    """Make an :class:`AdditiveBlock`, behind CAS-ViT's :class:`ConvNorm` where the shape changes.

    Both keep torch's own initialisation, as in the official code.
    """
    block = AdditiveBlock(spec.out_chs, op.mlp_ratio, drop_path_rate)
    if spec.keeps_shape:
        return block
    downsample = ConvNorm(spec.in_chs, spec.out_chs, spec.stride)
    # Named, so that keys tell the two apart, and say the same in every network.
    return nn.Sequential(OrderedDict(downsample=downsample, block=block))


def build_block(spec: BlockSpec, drop_path_rate: float = 0.0) -> nn.Module:
    """Make the module of any op, initialised; stem and head come as ``nn.Sequential``.

    A block maps ``(N, in_chs, S, S)`` to ``(N, out_chs, S', S')``; a head gives ``(N, out_chs)``.
    """
    op = spec.parsed
    module: nn.Module
    if isinstance(op, SkipOp):
        return nn.Identity()
    if isinstance(op, AdditiveOp):
        return additive_block(spec, op, drop_path_rate)
    if isinstance(op, InvertedResidualOp):
        module = InvertedResidual(spec, op, drop_path_rate)
    elif isinstance(op, StemOp):
        module = nn.Sequential(
            OrderedDict(
                conv_stem=_conv(spec.in_chs, spec.out_chs, op.kernel, spec.stride, same=op.same),
                bn1=nn.BatchNorm2d(spec.out_chs),
                act1=make_act(op.act),
            )
        )
    else:
        assert isinstance(op, HeadOp)
        module = nn.Sequential(
            OrderedDict(
                conv_head=_conv(spec.in_chs, op.width),
                bn2=nn.BatchNorm2d(op.width),
                act2=make_act(op.act),
                # Pooled to one pixel whatever the input: a head serves every size.
                global_pool=SelectAdaptivePool2d(pool_type="avg", flatten=True),
                classifier=nn.Linear(op.width, spec.out_chs),
            )
        )
    init_weights(module)
    return module


def init_weights(module: nn.Module) -> None:
    """Draw convolutions normally with the fan-out of one group, classifiers from N(0, 0.01).

    This is timm's initialisation of EfficientNets (TensorFlow's of MobileNets).
    """
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            fan_out = m.kernel_size[0] * m.kernel_size[1] * m.out_channels // m.groups
            nn.init.normal_(m.weight, 0.0, math.sqrt(2.0 / fan_out))
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0.0, 0.01)
            nn.init.zeros_(m.bias)
