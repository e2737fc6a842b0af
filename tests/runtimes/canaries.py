"""Canaries: a tiny module for every kind of layer that our networks use, with an input for each.

A runtime that stops taking one of them, or computes it otherwise, is told by the name of the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import timm.layers
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pocketeye.layers import ChannelShuffle, ProjectedAttention, rope_tables, rotate, set_fused_attn
from pocketeye.models import fuse
from pocketeye.models.architecture import BlockSpec
from pocketeye.models.blocks import build_block
from pocketeye.models.dense.semantic_fpn import resize
from tests.runtimes.nets import randomize_norms

MAP, TOKENS = (1, 8, 8, 8), (1, 12, 16)


class Call(nn.Module):
    """Wrap a function of tensors."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class SelfAttention(nn.Module):
    """Attend with two heads, by torch's own kernel or by two products and a softmax."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.attention = set_fused_attn(ProjectedAttention(16, num_heads=2), fused)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)


class RotatedTokens(nn.Module):
    """Turn tokens of a 4 x 3 map by their places, with real numbers."""

    def __init__(self) -> None:
        super().__init__()
        cos, sin = rope_tables(16, 4, 3)
        self.register_buffer("cos", cos)
        self.register_buffer("sin", sin)

    def forward(self, x: Tensor) -> Tensor:
        return rotate(x, self.cos, self.sin)


class Windows(nn.Module):
    """Cut a map into windows and put it together, without a tensor of more than 6 dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        cut = x.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1)
        windows = cut.reshape(-1, 16, c).softmax(1)
        back = windows.reshape(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4)
        return back.reshape(n, c, h, w)


def block(op: str, *, chs: int = 8, fused: bool = False) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        module = build_block(BlockSpec(op=op, in_chs=8, out_chs=chs, stride=1 if chs == 8 else 2))
        randomize_norms(module).eval()
        return fuse(nn.Sequential(module)) if fused else module

    return make


@dataclass(frozen=True)
class Canary:
    make: Callable[[], nn.Module]
    shape: tuple[int, ...] = MAP


def conv(*args: int, **options: int) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(*args, **options)


def act(function: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Conv2d(8, 8, 1), Call(function))


CANARIES = {
    # Convolutions and what stands in their blocks.
    "mbconv": Canary(block("k3_e3")),
    "mbconv k5 stride 2": Canary(block("k5_e6", chs=16)),
    "mbconv group and shuffle": Canary(block("k3_e1_g2")),
    "depthwise 7x7": Canary(conv(8, 8, 7, padding=3, groups=8)),
    "group conv": Canary(conv(8, 16, 3, padding=1, groups=4)),
    "dilated conv": Canary(conv(8, 8, 3, padding=2, dilation=2)),
    "conv transpose": Canary(lambda: nn.ConvTranspose2d(8, 4, 2, stride=2)),
    "squeeze and excite": Canary(lambda: timm.layers.SqueezeExcite(8, rd_ratio=0.5)),
    "channel shuffle": Canary(lambda: ChannelShuffle(4)),
    "pixel shuffle": Canary(lambda: nn.PixelShuffle(2)),
    "pixel unshuffle": Canary(lambda: nn.PixelUnshuffle(2)),
    # CAS-ViT.
    "additive mixer": Canary(block("add_e2")),
    "additive mixer fused": Canary(block("add_e2", fused=True)),
    # Norms.
    "layer norm": Canary(lambda: nn.LayerNorm(16), TOKENS),
    "layer norm of maps": Canary(lambda: timm.layers.LayerNorm2d(8)),
    "group norm": Canary(lambda: nn.GroupNorm(2, 8)),
    # Activations, after a convolution with which they may be fused.
    "relu6": Canary(act(F.relu6)),
    "gelu": Canary(act(F.gelu)),
    "gelu tanh": Canary(act(lambda x: F.gelu(x, approximate="tanh"))),
    "hard swish": Canary(act(F.hardswish)),
    "hard sigmoid": Canary(act(F.hardsigmoid)),
    "silu": Canary(act(F.silu)),
    # Pyramids and heads.
    "pyramid resize": Canary(lambda: Call(lambda x: resize(x, (16, 16)))),
    "nearest resize": Canary(lambda: nn.Upsample(scale_factor=2, mode="nearest")),
    "max pool": Canary(lambda: nn.MaxPool2d(3, 2, 1)),
    "global pool and linear": Canary(
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    ),
    # Trackers.
    "attention explicit": Canary(lambda: SelfAttention(fused=False), TOKENS),
    "attention sdpa": Canary(lambda: SelfAttention(fused=True), TOKENS),
    "rotary position": Canary(RotatedTokens, (1, 2, 12, 16)),
    "windows": Canary(Windows),
    "sine and cosine": Canary(lambda: Call(lambda x: torch.cat((x.sin(), x.cos()), 1))),
    "mean and variance": Canary(lambda: Call(lambda x: x.var((2, 3), unbiased=False))),
}

# What is known to be wrong, so that it is noticed when it becomes right.
BROKEN = {
    ("executorch", "gelu tanh"): "XNNPACK computes the exact GELU, which differs by 2e-4",
}


def build(name: str) -> nn.Module:
    """Return the module of a canary in eval mode, the same every time."""
    torch.manual_seed(0)
    return CANARIES[name].make().eval()


def example(name: str) -> Tensor:
    """Return its input: N(0, 1), the same every time."""
    return torch.randn(CANARIES[name].shape, generator=torch.Generator().manual_seed(1))


class Joint(nn.Module):
    """Run many canaries side by side: one export for all of them."""

    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(build(name) for name in names)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(part(x) for part, x in zip(self.parts, inputs, strict=True))
