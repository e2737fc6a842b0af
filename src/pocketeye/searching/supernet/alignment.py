"""Begin so that one path at a time can be learnt: all candidates of a layer start alike.

With candidates initialised independently, a sampled path meets other features at every layer than
the last one did, and a thousand one-path steps on a ten-layer space leave the loss where it was.
Here the candidates of a layer begin as one function, as far as they nest: the smallest one's
channels and kernel taps sit inside the larger ones, whose further taps and output weights begin at
zero (further channels do receive gradients, through random inputs). The last BN of blocks with a
shortcut begins at zero, so those blocks begin as a skip. So do additive blocks, whose three branches
end in layers of zeros; where they change the shape they begin as one 3x3 convolution. Every candidate
keeps weights of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from pocketeye.models.additive import AdditiveBlock, ConvNorm
from pocketeye.models.blocks import InvertedResidual


@torch.no_grad()
def align(candidates: Iterable[nn.Module]) -> None:
    """Make the candidates of one layer begin as the same function where they nest.

    Candidates with grouped 1x1s or without a first 1x1 do not nest and keep their random weights; nor
    do additive ones nest with the others where the shape changes.
    """
    candidates = list(candidates)
    _align_additive(candidates)
    blocks = [block for block in candidates if isinstance(block, InvertedResidual)]
    for block in blocks:
        if block.has_skip:
            nn.init.zeros_(block.bn3.weight)
    dense = [b for b in blocks if isinstance(b.conv_pw, nn.Conv2d) and b.conv_pw.groups == 1]
    if not dense:
        return
    smallest = min(dense, key=lambda b: (b.conv_dw.out_channels, b.conv_dw.kernel_size[0]))
    for block in dense:
        if block is not smallest and _nests(smallest, block):
            _embed(smallest, block)


def _align_additive(candidates: Sequence[nn.Module]) -> None:
    found = [m for c in candidates for m in c.modules()]
    for block in (m for m in found if isinstance(m, AdditiveBlock)):
        # The layers before these stay random, so that these learn from the first step on.
        for last in (block.local.conv2, block.attn.proj, block.mlp.fc2):
            assert last.bias is not None
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    downsamples = [m for m in found if isinstance(m, ConvNorm)]
    for one in downsamples[1:]:
        one.load_state_dict(downsamples[0].state_dict())


def _nests(small: InvertedResidual, large: InvertedResidual) -> bool:
    return small.conv_dw.kernel_size[0] <= large.conv_dw.kernel_size[0]


def _embed(small: InvertedResidual, large: InvertedResidual) -> None:
    # The taps of the small kernel go into the middle of the large one, whose border begins at zero.
    chs, taps = small.conv_dw.out_channels, small.conv_dw.kernel_size[0]
    border = (large.conv_dw.kernel_size[0] - taps) // 2
    middle = slice(border, border + taps)
    assert isinstance(small.conv_pw, nn.Conv2d)
    assert isinstance(large.conv_pw, nn.Conv2d)
    large.conv_pw.weight[:chs] = small.conv_pw.weight
    # Only the channels of the small block: further ones keep random taps, and so receive gradients.
    large.conv_dw.weight[:chs] = 0.0
    large.conv_dw.weight[:chs, :, middle, middle] = small.conv_dw.weight
    large.conv_pwl.weight[:, :chs] = small.conv_pwl.weight
    large.conv_pwl.weight[:, chs:] = 0.0
