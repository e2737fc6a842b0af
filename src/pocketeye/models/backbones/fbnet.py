"""Build FBNets (arXiv 1812.03443): networks found by differentiable search, published or our own.

The published architectures are tables of block names (fact: the 22 rows of the paper's figure and of
later code releases). Counts follow the paper's convention: MACs of convolutions and the classifier,
weights without BN and biases.

============================  ===========  ===========  ============================================
network                       MACs (M)     weights (M)  note
============================  ===========  ===========  ============================================
``fbnet_a``                   249.92       4.286480
``fbnet_b``                   296.61       4.778640     the paper's figure
``fbnet_c``                   384.96       5.526832     the same network as timm's ``fbnetc_100``
``fbnet_s8``                  292.9                     head width not published; FBNet-A's is used
``fbnet_iphonex``             321.8                     head width not published; FBNet-A's is used
``fbnet_96_035_1``            12.944       1.834        input 96, width 0.35
``fbnet_{a,b,c}_mobile_cv``   244.45 …     4.270288 …   no first 1x1 in blocks of expansion 1;
                                                        B has another block at layer 11
============================  ===========  ===========  ============================================

Two k5_e6 blocks of B and C were trained in 2019 as stacked 3x3 convolutions that neither the paper's
table nor its figure shows; as in timm and in the 2020 weights they are k5_e6 here.
"""

# No `from __future__ import annotations` here: torch.fx copies the annotations of `forward` into the
# graphs it generates, and TorchScript cannot resolve them there when they are strings.

import itertools
from typing import Any

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import SelectAdaptivePool2d, create_classifier
from timm.models import build_model_with_cfg, checkpoint_seq, generate_default_cfgs
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.models._registry import checkpoint_filter, register_model
from pocketeye.models.architecture import Architecture
from pocketeye.models.backbones.fbnet_keys import checkpoint_filter_fn
from pocketeye.models.blocks import build_block, init_weights, make_act
from pocketeye.models.ops import HeadOp
from pocketeye.models.space import SearchSpace, StageSpec, load_space, scale_chs


class FBNet(nn.Module):
    """Build a chain of blocks as an :class:`Architecture` lists them; it honours timm's contract.

    Args:
        architecture: the network as data; ``num_classes`` and ``in_chans`` override its ends.
        num_classes: outputs of the classifier, 0 for none.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth, rising linearly to this rate in the last block.
        global_pool: pooling before the classifier, a name of timm's (``avg``), or ``""`` for none.
    """

    def __init__(
        self,
        architecture: Architecture,
        num_classes: int | None = None,
        in_chans: int | None = None,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        self.num_classes = architecture.num_classes if num_classes is None else num_classes
        _require_pool(global_pool, self.num_classes)
        self.architecture = architecture.with_(
            in_chans=in_chans, num_classes=self.num_classes or None
        )
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        # timm fills these in where it makes the network.
        self.default_cfg: dict[str, Any] = {}
        self.pretrained_cfg: dict[str, Any] = {}
        # Three children under the names of timm's EfficientNets, whose weights of FBNet-C fit so.
        self.conv_stem, self.bn1, self.act1 = build_block(self.architecture.stem).children()

        stages = self.architecture.stages()
        depth = max(len(self.architecture.blocks) - 1, 1)
        rate = (drop_path_rate * number / depth for number in itertools.count())
        self.blocks = nn.Sequential(
            *(nn.Sequential(*(build_block(spec, next(rate)) for spec in stage)) for stage in stages)
        )
        self.stage_ends, self.feature_info = _features(self.architecture)

        head = self.architecture.head
        assert isinstance(head.parsed, HeadOp)
        self.num_features = self.head_hidden_size = head.parsed.width
        self.conv_head = nn.Conv2d(head.in_chs, self.num_features, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(self.num_features)
        self.act2 = make_act(head.parsed.act)
        init_weights(self.conv_head)
        self.global_pool, self.classifier = self._classifier(global_pool)

    def _classifier(self, global_pool: str) -> tuple[SelectAdaptivePool2d, nn.Module]:
        """Make the pooling and a fresh classifier for ``self.num_classes``."""
        pool, classifier = create_classifier(
            self.num_features, self.num_classes, pool_type=global_pool
        )
        init_weights(classifier)
        return pool, classifier

    def get_classifier(self) -> nn.Module:
        """Return the classifier (timm's contract)."""
        return self.classifier

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a fresh one of ``num_classes`` outputs (0: none).

        ``global_pool=""`` takes the pooling away as well: the output is the map of
        :meth:`forward_features`; None keeps the pooling there is.

        Raises:
            InvalidValue: no pooling in front of a classifier.
        """
        pool_type = self.global_pool.pool_type if global_pool is None else global_pool
        _require_pool(pool_type, num_classes)
        self.num_classes = num_classes
        self.architecture = self.architecture.with_(num_classes=num_classes or None)
        self.global_pool, self.classifier = self._classifier(pool_type)

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute stages again in the backward pass, to save memory (timm's contract)."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return layer groups for layer-wise learning rates (timm's convention)."""
        blocks = [(r"^blocks\.(\d+)" if coarse else r"^blocks\.(\d+)\.(\d+)", None)]
        # timm's number for what comes last, after any layer that a network may have.
        return {"stem": r"^conv_stem|^bn1", "blocks": [*blocks, (r"conv_head|bn2", (99999,))]}

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Return no names: timm leaves BN and biases out of weight decay by itself."""
        return set()

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return maps at the resolutions of ``feature_info`` (timm's contract).

        ``norm`` has no effect: a block's output has no norm that is not a part of the block.
        """
        assert output_fmt == "NCHW", "FBNet gives maps as NCHW only"
        take, last = feature_take_indices(len(self.stage_ends), indices)
        # timm counts maps, this network counts stages: several stages may share a map.
        wanted = {self.stage_ends[index] for index in take}
        x = self.act1(self.bn1(self.conv_stem(x)))
        intermediates = []
        for number, stage in enumerate(self.blocks):
            if stop_early and number > self.stage_ends[last]:
                break
            x = checkpoint_seq(stage, x) if self.grad_checkpointing else stage(x)
            if number in wanted:
                intermediates.append(x)
        if intermediates_only:
            return intermediates
        return self.act2(self.bn2(self.conv_head(x))), intermediates

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the chosen intermediates do not need; return their indices."""
        take, last = feature_take_indices(len(self.stage_ends), indices)
        self.blocks = self.blocks[: self.stage_ends[last] + 1]
        if prune_head:
            for name in ("conv_head", "bn2", "act2"):
                setattr(self, name, nn.Identity())
            self.reset_classifier(0, "")
        return list(take)

    def forward_features(self, x: Tensor) -> Tensor:
        """Turn ``(N, in_chans, S, S)`` into ``(N, num_features, S/32, S/32)``."""
        x = self.act1(self.bn1(self.conv_stem(x)))
        if self.grad_checkpointing and not torch.jit.is_scripting():
            x = checkpoint_seq(self.blocks, x, flatten=True)
        else:
            x = self.blocks(x)
        return self.act2(self.bn2(self.conv_head(x)))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Turn features into logits; ``pre_logits`` stops before the classifier."""
        x = self.global_pool(x)
        if self.drop_rate > 0.0:
            x = nn.functional.dropout(x, p=self.drop_rate, training=self.training)
        return x if pre_logits else self.classifier(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


def _require_pool(global_pool: str, num_classes: int) -> None:
    if not global_pool and num_classes:
        raise InvalidValue(
            "a classifier needs pooling: global_pool='' goes with num_classes=0 only"
        )


def _features(architecture: Architecture) -> tuple[list[int], list[dict[str, Any]]]:
    """Return the stages that end a resolution, and timm's ``feature_info`` rows for them."""
    ends, rows, reduction = [], [], architecture.stem.stride
    stages = architecture.stages()
    for number, stage in enumerate(stages):
        reduction *= stage[0].stride
        is_last = number + 1 == len(stages)
        # Two stages may have one stride (64 and 112 channels at 16): the last of them counts.
        if is_last or stages[number + 1][0].stride > 1:
            ends.append(number)
            rows.append(
                {
                    "num_chs": stage[-1].out_chs,
                    "reduction": reduction,
                    "module": f"blocks.{number}",
                }
            )
    return ends, rows


# Rows as published; one line a stage of the 22-layer space. S8 and iPhone X are known by transcriptions
# of the figure alone. mobile_cv's B has k5_e6 where the figure has k5_e1 (layer 11).
_A = """skip  k3_e3 k3_e1 skip skip  k5_e6 k3_e3 k5_e1 k3_e3  k5_e6 k5_e3 k5_e1_g2 k5_e6
        k3_e6 k5_e1_g2 k5_e3 k3_e1_g2  k5_e6 k5_e6 k5_e3 k5_e6  k5_e6"""
_B = """k3_e1  k3_e6 k5_e1 k3_e1 k3_e1  k5_e6 k5_e3 k3_e6 k5_e6  k5_e6 k5_e1 skip k5_e3
        k5_e6 k3_e1 k5_e1 k5_e3  k5_e6 k5_e1 k5_e6 k5_e6  k3_e6"""
_B_MOBILE_CV = """k3_e1  k3_e6 k5_e1 k3_e1 k3_e1  k5_e6 k5_e3 k3_e6 k5_e6  k5_e6 k5_e6 skip k5_e3
        k5_e6 k3_e1 k5_e1 k5_e3  k5_e6 k5_e1 k5_e6 k5_e6  k3_e6"""
_C = """k3_e1  k3_e6 skip k3_e1 k3_e1  k5_e6 k5_e3 k5_e6 k3_e6  k5_e6 k5_e3 k5_e6 k5_e6
        k5_e6 k5_e6 k5_e6 k5_e3  k5_e6 k5_e6 k5_e6 k5_e6  k3_e6"""
_S8 = """k3_e1  k3_e3 k3_e1 skip skip  k5_e6 k3_e3 k3_e3 k3_e6  k5_e6 k5_e3 k5_e3 k5_e3
        k3_e6 k5_e3 k5_e3 k5_e3  k5_e6 k5_e6 k5_e3 k5_e6  k5_e6"""
_IPHONEX = """skip  k3_e6 k3_e1 k3_e1 k3_e1  k3_e6 k3_e6 k3_e6 k3_e6  k3_e6 k3_e6 k3_e3 k3_e6
        k3_e6 k3_e3 k3_e3 k3_e3  k5_e6 k5_e6 k5_e6 k5_e3  k5_e6"""
_96_035_1 = """k3_e1  k3_e6 k3_e6 skip skip  k5_e6 k5_e6 skip skip  k5_e6 skip skip skip
        k3_e6 skip skip skip  k5_e6 k5_e6 skip skip  k5_e6"""


def _published(name: str, rows: str, head_chs: int) -> Architecture:
    space = load_space("fbnet")
    space = SearchSpace.from_dict({**space.to_dict(), "head": {"chs": head_chs}})
    return space.architecture(rows.split(), name)


def _published_96(name: str, rows: str, head_chs: int) -> Architecture:
    # Width 0.35: the stem and the first stage stay at 8 channels.
    space = load_space("fbnet")
    # Not by with_(width=…): the published head is narrower than that rule would make it.
    small = SearchSpace(
        name="fbnet-96-035",
        input_size=96,
        stem_chs=8,
        stages=tuple(
            StageSpec(chs=scale_chs(s.chs, 0.35), depth=s.depth, stride=s.stride)
            for s in space.stages
        ),
        head_chs=head_chs,
    )
    return small.architecture(rows.split(), name)


def architectures() -> dict[str, Architecture]:
    """Return the published networks by the name of their model."""
    # Width of the head: 1504 in A, 1984 in B and C. S8's and iPhone X's are not published.
    a, c = _published("fbnet_a", _A, 1504), _published("fbnet_c", _C, 1984)
    b_2020 = _published("fbnet_b_mobile_cv", _B_MOBILE_CV, 1984)
    rows = (
        a,
        _published("fbnet_b", _B, 1984),
        c,
        _published("fbnet_s8", _S8, 1504),
        _published("fbnet_iphonex", _IPHONEX, 1504),
        _published_96("fbnet_96_035_1", _96_035_1, 1416),
        a.with_(name="fbnet_a_mobile_cv").without_first_pw(),
        b_2020.without_first_pw(),
        c.with_(name="fbnet_c_mobile_cv").without_first_pw(),
    )
    return {row.name: row for row in rows}


def _cfg(input_size: int = 224, **kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, input_size, input_size),
        "pool_size": (-(-input_size // 32),) * 2,  # rounded up, as strided convolutions round
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "conv_stem",
        "classifier": "classifier",
        "license": "apache-2.0",
        "paper_ids": "arXiv:1812.03443",
        **kwargs,
    }


default_cfgs = generate_default_cfgs(
    {
        "fbnet_a.untrained": _cfg(),
        "fbnet_b.untrained": _cfg(),
        # The only published weights that may be used freely: mobile_cv's are CC BY-NC.
        "fbnet_c.rmsp_in1k": _cfg(hf_hub_id="timm/fbnetc_100.rmsp_in1k"),
        "fbnet_s8.untrained": _cfg(),
        "fbnet_iphonex.untrained": _cfg(),
        "fbnet_96_035_1.untrained": _cfg(96),
        "fbnet_a_mobile_cv.untrained": _cfg(),
        "fbnet_b_mobile_cv.untrained": _cfg(),
        "fbnet_c_mobile_cv.untrained": _cfg(),
    }
)


checkpoint_filter(FBNet)(checkpoint_filter_fn)


def _create_fbnet(variant: str, pretrained: bool = False, **kwargs: Any) -> FBNet:
    architecture = kwargs.setdefault("architecture", architectures()[variant])
    # timm would fill these from the published network's configuration.
    kwargs.setdefault("num_classes", architecture.num_classes)
    kwargs.setdefault("in_chans", architecture.in_chans)
    return build_model_with_cfg(  # type: ignore[no-any-return]
        FBNet,
        variant,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": (0, 1, 2, 3, 4), "feature_cls": "getter"},
        **kwargs,
    )


@register_model
def fbnet_a(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """FBNet-A: 249.92 M MACs at 224."""
    return _create_fbnet("fbnet_a", pretrained, **kwargs)


@register_model
def fbnet_b(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """FBNet-B as in the paper's figure: 296.61 M MACs at 224."""
    return _create_fbnet("fbnet_b", pretrained, **kwargs)


@register_model
def fbnet_c(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """FBNet-C: 384.96 M MACs at 224; timm's ``fbnetc_100`` weights fit."""
    return _create_fbnet("fbnet_c", pretrained, **kwargs)


@register_model
def fbnet_s8(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """Searched for the Samsung S8."""
    return _create_fbnet("fbnet_s8", pretrained, **kwargs)


@register_model
def fbnet_iphonex(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """Searched for the iPhone X."""
    return _create_fbnet("fbnet_iphonex", pretrained, **kwargs)


@register_model
def fbnet_96_035_1(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """FBNet-96-0.35-1: 12.944 M MACs at 96."""
    return _create_fbnet("fbnet_96_035_1", pretrained, **kwargs)


@register_model
def fbnet_a_mobile_cv(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """FBNet-A in the form of mobile_cv's weights."""
    return _create_fbnet("fbnet_a_mobile_cv", pretrained, **kwargs)


@register_model
def fbnet_b_mobile_cv(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """FBNet-B in the form of mobile_cv's weights: layer 11 is k5_e6."""
    return _create_fbnet("fbnet_b_mobile_cv", pretrained, **kwargs)


@register_model
def fbnet_c_mobile_cv(pretrained: bool = False, **kwargs: Any) -> FBNet:
    """FBNet-C in the form of mobile_cv's weights."""
    return _create_fbnet("fbnet_c_mobile_cv", pretrained, **kwargs)
