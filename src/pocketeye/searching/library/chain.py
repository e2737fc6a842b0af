"""Move weights between a network and the supernet that holds its blocks as candidates."""

from __future__ import annotations

import itertools
from typing import Any, cast

import torch
from torch import nn

from pocketeye.errors import InvalidValue
from pocketeye.models._create import build_network
from pocketeye.models.architecture import Architecture
from pocketeye.models.backbones.fbnet import FBNet
from pocketeye.models.size import size_text
from pocketeye.models.space import SearchSpace
from pocketeye.searching.supernet.supernet import SuperNet


def require_in_space(architecture: Architecture, space: SearchSpace, what: str) -> None:
    """Refuse a network that is not one of the space, and say at which layer.

    Raises:
        InvalidValue: it has other layers, ends, widths or another size.
    """
    size = size_text(space.input_size)
    where = f"the space {space.name!r} at {size} pixels"
    if architecture.num_classes != space.num_classes:
        raise InvalidValue(
            f"{what} tells {architecture.num_classes} classes, and {where} is for "
            f"{space.num_classes}: take a teacher of the same classes"
        )
    if architecture.input_size != space.input_size:
        raise InvalidValue(
            f"{what} sees {size_text(architecture.input_size)} pixels, and {where} another size: take "
            "a teacher of the same input size"
        )
    if len(architecture.blocks) != space.num_layers:
        raise InvalidValue(
            f"{what} has {len(architecture.blocks)} layers, and {where} {space.num_layers}: take a "
            "teacher of the space"
        )
    ends = zip((architecture.stem, architecture.head), (space.stem(), space.head()), strict=True)
    for ours, theirs in ends:
        if ours != theirs:
            raise InvalidValue(
                f"{what} has {ours} where {where} has {theirs}: take one of the space"
            )
    for number, (block, position) in enumerate(
        zip(architecture.blocks, space.positions, strict=True), 1
    ):
        if block.op not in position.candidates or block != position.spec(block.op):
            raise InvalidValue(
                f"{what} has {block} at layer {number}, where {where} has "
                f"{position.in_chs}>{position.out_chs}/{position.stride} of "
                f"{', '.join(position.candidates)}: take a teacher of the space"
            )


def columns(space: SearchSpace, architecture: Architecture) -> tuple[int, ...]:
    """Return the columns of ``space.ops`` that a network of the space takes."""
    return tuple(space.ops.index(op) for op in space.choices(architecture))


@torch.no_grad()
def put_into(supernet: SuperNet, network: FBNet) -> None:
    """Give the supernet a network's stem and head, and its blocks as the candidates they are."""
    ends = [(supernet.stem, _stem(network)), (supernet.head, _head(network))]
    blocks = list(itertools.chain.from_iterable(cast(Any, network.blocks)))
    for layer, block, spec in zip(
        supernet.layers, blocks, network.architecture.blocks, strict=True
    ):
        ends.append((cast(nn.ModuleDict, layer)[spec.op], block))
    for ours, theirs in ends:
        ours.load_state_dict(theirs.state_dict())


@torch.no_grad()
def take_out(supernet: SuperNet, architecture: Architecture) -> FBNet:
    """Build a network of the space with the weights that the supernet has for it."""
    network = cast(FBNet, build_network(architecture))
    _stem(network).load_state_dict(supernet.stem.state_dict())
    _head(network).load_state_dict(supernet.head.state_dict())
    blocks = list(itertools.chain.from_iterable(cast(Any, network.blocks)))
    for layer, block, spec in zip(supernet.layers, blocks, architecture.blocks, strict=True):
        block.load_state_dict(cast(nn.ModuleDict, layer)[spec.op].state_dict())
    return network


def _stem(network: FBNet) -> nn.Module:
    return nn.ModuleDict({name: getattr(network, name) for name in ("conv_stem", "bn1", "act1")})


def _head(network: FBNet) -> nn.Module:
    names = ("conv_head", "bn2", "act2", "global_pool", "classifier")
    return nn.ModuleDict({name: getattr(network, name) for name in names})
