"""Bring names of weights in EfficientNet-PyTorch's layout to those of timm's EfficientNets.

EfficientNet-PyTorch numbers all blocks in one row and calls their parts after what they do; timm numbers
stages, and the blocks within each.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from timm.models import EfficientNet
from timm.models.efficientnet import EfficientNetFeatures
from torch import Tensor, nn

from pocketeye.models._registry import checkpoint_filter

_STEM_KEY = "_conv_stem.weight"
_AROUND = {
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2",
    "_fc": "classifier",
}  # fmt: skip
# A block that expands has three convolutions; the blocks of the first stage have two.
_EXPANDING = {
    "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2",
    "_project_conv": "conv_pwl", "_bn2": "bn3",
}  # fmt: skip
# So bn1 is behind another convolution than in the blocks above.
_SEPARABLE = {
    "_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2",
}  # fmt: skip
_IN_BLOCK = re.compile(r"_blocks\.(\d+)\.(\w+)\.(\w+)")


@checkpoint_filter(EfficientNet, EfficientNetFeatures)
def checkpoint_filter_fn(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return the weights under timm's names; those of another layout come back as they are.

    Args:
        state_dict: the file's entries; their order is kept.
        model: timm's network, whose ``blocks`` say how many blocks each stage has. A name for which it
            has no place is left as it is, for the caller to refuse.
    """
    if _STEM_KEY not in state_dict:
        return dict(state_dict)
    stages: Any = model.get_submodule("blocks")
    places = [f"blocks.{s}.{b}" for s, stage in enumerate(stages) for b in range(len(stage))]
    return {_renamed(key, state_dict, places): value for key, value in state_dict.items()}


def _renamed(key: str, state_dict: Mapping[str, Tensor], places: list[str]) -> str:
    inside = _IN_BLOCK.fullmatch(key)
    if inside is None:
        part, _, entry = key.partition(".")
        return f"{_AROUND[part]}.{entry}" if part in _AROUND else key
    number, part, entry = int(inside[1]), inside[2], inside[3]
    # Told by the weights, not by the number: which blocks expand is the network's own affair.
    expands = f"_blocks.{number}._expand_conv.weight" in state_dict
    ours = (_EXPANDING if expands else _SEPARABLE).get(part)
    return key if ours is None or number >= len(places) else f"{places[number]}.{ours}.{entry}"
