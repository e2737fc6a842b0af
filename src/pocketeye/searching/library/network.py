"""Make a search space of a trained network, which is the teacher and one of the candidates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from pocketeye import progress
from pocketeye.data import ImageSet
from pocketeye.data.loaders.images import make_loader
from pocketeye.devices import resolve_device
from pocketeye.errors import InvalidValue
from pocketeye.models.architecture import Architecture, BlockSpec
from pocketeye.models.backbones.efficientnet_chain import as_chain, op_name
from pocketeye.models.backbones.fbnet import FBNet
from pocketeye.models.ops import (
    AdditiveOp,
    HeadOp,
    InvertedResidualOp,
)
from pocketeye.models.space import SearchSpace, StageSpec
from pocketeye.predicting.class_names import match_classes
from pocketeye.predicting.info import ModelInfo
from pocketeye.searching.batches import placed
from pocketeye.searching.config import SearchConfig
from pocketeye.training.classify.distill import open_trained

# Of the kernel sides a block may have; FBNet has the first two, EfficientNets and MnasNets all.
_KERNELS = (3, 5, 7)


@dataclass(frozen=True, kw_only=True)
class NamedNetwork:
    """Hold the network that is to become faster.

    Attributes:
        name: as the user gave it.
        chain: built of our blocks, trained, in eval mode.
        info: classes and what it expects of its inputs.
        space: of its own widths and strides.
    """

    name: str
    chain: FBNet
    info: ModelInfo
    space: SearchSpace


def open_network(name: str, input_size: int | None = None) -> NamedNetwork:
    """Open a run or published weights, and make the space around it.

    Args:
        input_size: side of the images; the network's own by default.

    Raises:
        InvalidValue: no trained classifier, or a layer that is no inverted residual (by its name).
        MissingFile, MissingExtra: its weights are not there.
    """
    opened = open_trained(name)
    info = opened.info if input_size is None else replace(opened.info, input_size=input_size)
    short = name.rstrip("/").rpartition("/")[2]
    chain = as_chain(opened.module, short, info.input_size)
    return NamedNetwork(name=name, chain=chain, info=info, space=space_of(chain.architecture))


def space_of(network: Architecture) -> SearchSpace:
    """Return the space of a network's widths and strides, with candidates of its own at every layer.

    A block may keep its kernel and have less expansion, have another kernel and less expansion, have
    grouped 1x1s, or be skipped where shapes allow. It may always stay as it is.
    """
    head = network.head.parsed
    assert isinstance(head, HeadOp)
    stages = tuple(
        StageSpec(chs=block.out_chs, depth=1, stride=block.stride, candidates=candidates_of(block))
        for block in network.blocks
    )
    return SearchSpace(
        name=network.name, input_size=network.input_size, stages=stages, candidates=(),
        stem_chs=network.stem.out_chs, stem_stride=network.stem.stride, stem_op=network.stem.op,
        head_chs=head.width, head_act=head.act, in_chans=network.in_chans,
        num_classes=network.num_classes,
    )  # fmt: skip


def candidates_of(block: BlockSpec) -> tuple[str, ...]:
    """Return what may stand in the place of a block of the network, itself first."""
    op = block.parsed
    found = [block.op]
    if isinstance(op, InvertedResidualOp):
        found += [op_name(cheaper) for cheaper in _cheaper(op, block)]
    elif isinstance(op, AdditiveOp):
        found += [f"add_e{op.mlp_ratio // 2}"] if op.mlp_ratio > 1 else []
        found += ["k5_e3", "k3_e3"]
    if block.keeps_shape:
        found.append("skip")
    return tuple(dict.fromkeys(found))


def _cheaper(op: InvertedResidualOp, block: BlockSpec) -> list[InvertedResidualOp]:
    """Return blocks that cost less than ``op``: less expansion, a smaller kernel, grouped 1x1s."""
    own = op.expansion
    if not op.first_pw:
        return [replace(op, kernel=k) for k in _KERNELS if k < op.kernel]
    less = sorted({own * 2 // 3, own // 2, own // 3} - {0, own}, reverse=True)
    found = [replace(op, expansion=e) for e in less]
    for kernel in _KERNELS:
        if kernel < op.kernel:
            found += [replace(op, kernel=kernel, expansion=e) for e in (own, *less)]
        # A larger kernel pays only where the block is much narrower.
        elif kernel > op.kernel:
            found += [replace(op, kernel=kernel, expansion=e) for e in less if 2 * e <= own]
    if op.groups == 1 and block.in_chs % 2 == block.out_chs % 2 == 0:
        found.append(replace(op, groups=2))
    return found


def relabelled(images: ImageSet, network: NamedNetwork) -> ImageSet:
    """Return the images with labels in the order of the network's classes.

    Raises:
        InvalidValue: it does not know them.
    """
    classes = network.info.classes
    if images.classes == classes:
        return images
    try:
        places = match_classes(images.classes, classes, images.source)
    except InvalidValue as error:
        raise InvalidValue(
            f"{network.name} knows other classes than {images.source}: {error}; without labels its own "
            "answers are learnt: add --no-labels"
        ) from error
    return replace(images, classes=classes, labels=places[images.labels])


def answered_by(network: NamedNetwork, images: ImageSet, config: SearchConfig) -> ImageSet:
    """Return the images with what the network says of each as its label."""
    info, device = network.info, resolve_device(config.device)
    chain = network.chain.to(device)
    loader = make_loader(
        images, info.transform(), min(config.batch_size, len(images)), shuffle=False,
        seed=config.seed, drop_last=False, workers=config.workers, on_damage="ignore",
    )  # fmt: skip
    answers = []
    with progress.task(f"asking {network.name}", len(images)) as bar, torch.no_grad():
        for batch, *_ in loader:
            answers.append(chain(placed(batch, device)).argmax(1).cpu().numpy())
            bar.advance(len(batch))
    chain.cpu()
    return replace(images, classes=info.classes, labels=np.concatenate(answers).astype(np.int64))
