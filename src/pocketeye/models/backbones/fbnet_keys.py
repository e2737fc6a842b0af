"""Bring state dicts of FBNets as others lay them out to our keys.

Ours and timm's differ only in that timm leaves skips out of its indices; mobile_cv names everything
otherwise and gives its convolutions a bias besides BN. In each, the blocks that hold weights stand in
the order of the network, so the n-th of theirs is the n-th of ours, skips aside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from pocketeye.errors import InvalidValue

_BLOCK = re.compile(r"(?:.+\.)?blocks\.\d+\.\d+")
_NATIVE = re.compile(r"blocks\.(?P<stage>\d+)\.(?P<index>\d+)\.(?P<rest>.+)")
_MOBILE_CV = re.compile(r"(?:backbone\.)?stages\.xif(?P<stage>\d+)_(?P<index>\d+)\.(?P<rest>.+)")
_MOBILE_CV_PARTS = {
    "pw.conv": "conv_pw",
    "pw.bn": "bn1",
    "dw.conv": "conv_dw",
    "dw.bn": "bn2",
    "pwl.conv": "conv_pwl",
    "pwl.bn": "bn3",
}


def checkpoint_filter_fn(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename a state dict of ours, of timm's ``fbnetc_100`` or of mobile_cv for ``model``.

    Raises:
        InvalidValue: the number of blocks that hold weights is not the model's.
    """
    if any(_MOBILE_CV.match(key) for key in state_dict):
        return _from_mobile_cv(state_dict, model)
    return _reindexed(state_dict, _NATIVE, model)


def _weighted_blocks(model: nn.Module) -> list[str]:
    named = ((name, m) for name, m in model.named_modules() if _BLOCK.fullmatch(name))
    # A skip without a change of shape has no weights, and no place in the row.
    return [name for name, m in named if any(True for _ in m.parameters())]


def _reindexed(
    state_dict: Mapping[str, Tensor], pattern: re.Pattern[str], model: nn.Module
) -> dict[str, Tensor]:
    """Give the n-th block with weights the name of our n-th block with weights."""
    found = {key: match for key in state_dict if (match := pattern.fullmatch(key))}
    places = sorted({(int(m["stage"]), int(m["index"])) for m in found.values()})
    ours = _weighted_blocks(model)
    # The numbers are all that can be compared before shapes: names say nothing of the blocks' kinds.
    if len(places) != len(ours):
        raise InvalidValue(
            f"the checkpoint has {len(places)} blocks with weights, the network {len(ours)}"
        )
    name_of = dict(zip(places, ours, strict=True))
    return {
        f"{name_of[int(found[key]['stage']), int(found[key]['index'])]}.{found[key]['rest']}"
        if key in found
        else key: value
        for key, value in state_dict.items()
    }


def _from_mobile_cv(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    # The first and last stage of mobile_cv are stem and head.
    last = max(int(m["stage"]) for key in state_dict if (m := _MOBILE_CV.match(key)))
    renamed: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        match = _MOBILE_CV.fullmatch(key)
        if match is None:
            # The classifier is a 1x1 convolution there.
            name = re.sub(r"^head\.conv\.", "classifier.", key)
            renamed[name] = value.flatten(1) if name == "classifier.weight" else value
        elif match["stage"] == "0":
            renamed[_end(match["rest"], conv="conv_stem", bn="bn1")] = value
        elif int(match["stage"]) == last:
            renamed[_end(match["rest"], conv="conv_head", bn="bn2")] = value
        else:
            part, _, leaf = match["rest"].rpartition(".")
            # "stages.xif3_2": the number of the stage, and of the block in it.
            part = _MOBILE_CV_PARTS.get(part, part)
            renamed[f"blocks.{match['stage']}.{match['index']}.{part}.{leaf}"] = value
    return _fold_conv_bias(_reindexed(renamed, _NATIVE, model))


def _end(rest: str, conv: str, bn: str) -> str:
    part, _, leaf = rest.partition(".")
    return f"{ {'conv': conv, 'bn': bn}.get(part, part) }.{leaf}"


def _fold_conv_bias(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Move biases into BN: ``BN(conv(x) + b)`` is ``BN`` with the mean moved by ``-b``."""
    norm_of = {"conv_stem": "bn1", "conv_head": "bn2", "conv_pw": "bn1", "conv_dw": "bn2",
               "conv_pwl": "bn3"}  # fmt: skip
    result = dict(state_dict)
    for key, bias in state_dict.items():
        prefix, _, leaf = key.rpartition(".")
        parent, _, conv = prefix.rpartition(".")
        if leaf == "bias" and conv in norm_of:
            mean = ".".join(filter(None, (parent, norm_of[conv], "running_mean")))
            if mean in result:
                result[mean] = result[mean] - bias
                del result[key]
    return result
