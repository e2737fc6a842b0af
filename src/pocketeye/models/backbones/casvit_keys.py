"""Bring state dicts of the official CAS-ViT code to our keys.

Classification files have ``norm`` and ``head``, some a ``dist_head`` too. Detection and segmentation
files have their backbone under ``backbone.``, with a norm on each of its four outputs and heads of
their own beside it. Else the three copies of the official network name everything alike.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pocketeye.errors import InvalidValue

logger = logging.getLogger(__name__)

_BACKBONE = "backbone."
_OFFICIAL = re.compile(r"(patch_embed|network)\.\d+\.")  # ours say stem and stages
_PLACE = re.compile(r"(?P<part>patch_embed|network|norm)\.?(?P<index>\d+)\.(?P<rest>.+)")
_BLOCK_NORM = re.compile(r"stages\.(?P<stage>\d+)\.blocks\.(?P<block>\d+)\.norm2\.weight")
# The gaps in the numbers are activations, which have no weights.
_LEAVES = (
    ("local_perception.network.0.", "local.conv1."),
    ("local_perception.network.1.", "local.norm."),
    ("local_perception.network.2.", "local.conv_dw."),
    ("local_perception.network.4.", "local.conv2."),
    ("attn.dwc.", "attn.conv_sim."),
    *(
        (f"attn.oper_{x}.{block}", f"attn.phi_{x}.{gate}")
        for x in "qk"
        for block, gate in (
            ("0.block.0.", "0.conv_dw."),
            ("0.block.1.", "0.norm."),
            ("0.block.3.", "0.gate."),
            ("1.block.1.", "1.gate."),
        )
    ),
)


def checkpoint_filter_fn(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Rename a state dict, ours or official, and leave out what a CAS-ViT has no place for.

    * A file of two heads for a network of one: the heads are averaged, which is what the official
      network outputs in eval mode.
    * A network without a classifier takes the file of a classifier, or of a detector or segmenter,
      and leaves its heads.
    * Output norms that the file lacks (a classifier's file, or the first norm of a RetinaNet) stay as
      they are: the official code, too, begins them afresh.

    Raises:
        InvalidValue: the file is of a network of other widths or depths.
    """
    ours = _without_prefix(state_dict)
    # A file of our own comes through unchanged.
    if any(_OFFICIAL.match(key) for key in ours):
        ours = {_renamed(key): value for key, value in ours.items()}
    own = model.state_dict()
    held, wanted = _widths(ours), _widths(own)
    # load_state_dict would list hundreds of shapes; the stages tell at once which variant it is.
    if held and held != wanted:
        raise InvalidValue(
            f"it holds a CAS-ViT of stages {_stages_text(held)}, "
            f"the network has {_stages_text(wanted)}: another variant "
            "(pocketeye info tells the stages of each)"
        )
    if "head_dist.weight" in ours and model.head_dist is None:
        ours = _average_heads(ours)
    if not model.num_classes:
        ours = {k: v for k, v in ours.items() if k in own or not k.startswith(("head.", "norm."))}
    if model.out_norms is None:
        ours = {k: v for k, v in ours.items() if not k.startswith("out_norms.")}
    missing = {k.rpartition(".")[0] for k in own if k.startswith("out_norms.") and k not in ours}
    lacking = {name for name in missing if not any(k.startswith(f"{name}.") for k in ours)}
    if lacking:
        logger.info("the file has no %s: left as they are", ", ".join(sorted(lacking)))
        ours |= {k: v for k, v in own.items() if k.rpartition(".")[0] in lacking}
    return ours


def _widths(state_dict: Mapping[str, Tensor]) -> tuple[tuple[int, int], ...]:
    """Return (blocks, channels) of every stage, as far as the keys tell."""
    stages: dict[int, tuple[int, int]] = {}
    for key, value in state_dict.items():
        if match := _BLOCK_NORM.fullmatch(key):
            stage, block = int(match["stage"]), int(match["block"])
            depth = max(stages.get(stage, (0, 0))[0], block + 1)
            stages[stage] = (depth, value.shape[0])
    return tuple(stages[stage] for stage in sorted(stages))


def _stages_text(widths: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{depth}x{chs}" for depth, chs in widths)


def _without_prefix(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the backbone of a detector or segmenter; a file of the backbone alone as it is."""
    if not any(key.startswith(_BACKBONE) for key in state_dict):
        return dict(state_dict)
    return {
        key.removeprefix(_BACKBONE): value
        for key, value in state_dict.items()
        if key.startswith(_BACKBONE)
    }


def _renamed(key: str) -> str:
    match = _PLACE.fullmatch(key)
    if match is None:
        return re.sub(r"^dist_head\.", "head_dist.", key)
    index, rest = int(match["index"]), match["rest"]
    if match["part"] == "norm":
        # Norms stand at 0, 2, 4 and 6, beside the stages; 1, 3 and 5 are the layers that reduce the map.
        return f"out_norms.{index // 2}.{rest}"
    if match["part"] == "patch_embed":
        # One Sequential holds convolution, BN and ReLU twice: the conv is at 0 and 3, the BN at 1 and 4.
        return f"stem.{index // 3 * 2}.{'norm' if index % 3 else 'conv'}.{rest}"
    if index % 2:
        return f"stages.{(index + 1) // 2}.downsample.{re.sub(r'^proj', 'conv', rest)}"
    block, _, leaf = rest.partition(".")
    for theirs, here in _LEAVES:
        if leaf.startswith(theirs):
            leaf = here + leaf.removeprefix(theirs)
            break
    return f"stages.{index // 2}.blocks.{block}.{leaf}"


def _average_heads(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    merged = {k: v for k, v in state_dict.items() if not k.startswith("head_dist.")}
    for leaf in ("weight", "bias"):
        one, two = state_dict.get(f"head.{leaf}"), state_dict.get(f"head_dist.{leaf}")
        if one is not None and two is not None and one.shape == two.shape:
            merged[f"head.{leaf}"] = torch.stack([one, two]).mean(0)
    return merged
