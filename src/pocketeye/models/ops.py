"""Ops: the names of layers, such as ``k3_e6``, and the numbers behind them.

========================  ==========================================================================
``k{K}_e{E}[_g{G}]``      inverted residual: 1x1 (G groups) to E times the width, KxK depthwise,
                          1x1 (G groups); FBNet, table 2. With G > 1 the channels are shuffled
                          before the depthwise convolution
``…_nopw``                the same without the first 1x1 (E = 1 only), as in mobile_cv's weights
``…_relu6``, ``…_hswish`` the same (also of a stem or head) with another activation than ReLU
``…_same``                the same (also of a stem) with TensorFlow's padding: where a stride of 2 meets
                          an even side, one pixel less before the map than after it
``add_e{R}``              CAS-ViT's additive attention block (paper, figure 3), R the MLP ratio; where
                          the shape changes, CAS-ViT's 3x3 convolution + BN stands before it
``skip``                  identity; needs stride 1 and equal widths
``conv{K}``               stem: KxK convolution, BN, ReLU
``head{W}``               1x1 convolution to W channels, BN, ReLU, global pooling, classifier;
                          ``out`` is the number of classes
========================  ==========================================================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from pocketeye.errors import InvalidValue

Act = Literal["relu", "relu6", "hswish"]
ACTS: tuple[Act, ...] = ("relu", "relu6", "hswish")
_STYLE = r"(_(?P<act>relu6|hswish))?(?P<same>_same)?"
# As many digits as the largest number that means something, so that none is beyond all memory.
_INVERTED = re.compile(
    r"k(?P<kernel>\d{1,2})_e(?P<expansion>\d{1,3})(_g(?P<groups>\d{1,5}))?(?P<nopw>_nopw)?"
    + _STYLE,
    re.ASCII,
)
_ADDITIVE = re.compile(r"add_e(?P<mlp_ratio>\d{1,3})", re.ASCII)
_STEM = re.compile(r"conv(?P<kernel>\d{1,2})" + _STYLE, re.ASCII)
_HEAD = re.compile(r"head(?P<width>\d{1,6})(_(?P<act>relu6|hswish))?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class InvertedResidualOp:
    """The numbers behind ``k3_e6_g2``: kernel size, expansion ratio, groups of the 1x1s."""

    kernel: int
    expansion: int
    groups: int = 1
    first_pw: bool = True
    act: Act = "relu"
    same: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AdditiveOp:
    """The number behind ``add_e4``: hidden width of the MLP over that of the block."""

    mlp_ratio: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SkipOp:
    """Identity."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StemOp:
    """Full convolution with BN and an activation."""

    kernel: int
    act: Act = "relu"
    same: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadOp:
    """1x1 convolution to ``width`` channels, pooling, classifier."""

    width: int
    act: Act = "relu"


Op = InvertedResidualOp | AdditiveOp | SkipOp | StemOp | HeadOp


def parse_op(text: str) -> Op:
    """Read the name of an op.

    Raises:
        InvalidValue: the name fits no op, or its numbers contradict each other.
    """
    if text == "skip":
        return SkipOp()
    if match := _STEM.fullmatch(text):
        return StemOp(kernel=int(match["kernel"]), act=_act(match), same=bool(match["same"]))
    if match := _HEAD.fullmatch(text):
        return HeadOp(width=int(match["width"]), act=_act(match))
    if match := _ADDITIVE.fullmatch(text):
        if int(match["mlp_ratio"]) < 1:
            raise InvalidValue(f"block {text!r}: the MLP ratio must be at least 1")
        return AdditiveOp(mlp_ratio=int(match["mlp_ratio"]))
    if match := _INVERTED.fullmatch(text):
        op = InvertedResidualOp(
            kernel=int(match["kernel"]),
            expansion=int(match["expansion"]),
            groups=int(match["groups"] or 1),
            first_pw=match["nopw"] is None,
            act=_act(match),
            same=bool(match["same"]),
        )
        if op.kernel % 2 == 0 or op.expansion < 1 or op.groups < 1:
            raise InvalidValue(f"block {text!r}: the kernel must be odd, expansion and groups >= 1")
        if not op.first_pw and op.expansion != 1:
            raise InvalidValue(f"block {text!r}: only an expansion of 1 can do without its 1x1")
        return op
    raise InvalidValue(
        f"unknown block {text!r}: blocks are named like k3_e6, k5_e1_g2 (kernel, expansion, "
        "groups), add_e4 (additive attention, MLP ratio) or skip"
    )


def style_of(op: Op) -> str:
    """Return the suffix that says activation and padding of a block, stem or head: ``_relu6_same``."""
    act = getattr(op, "act", "relu")
    return ("" if act == "relu" else f"_{act}") + ("_same" if getattr(op, "same", False) else "")


def _act(match: re.Match[str]) -> Act:
    return cast(Act, match["act"] or "relu")
