"""Build CAS-ViT (arXiv 2408.03703): convolutional additive self-attention, for classes and dense maps.

A stem of stride 4 is followed by four stages of additive blocks (:mod:`pocketeye.models.additive`), at
strides 4, 8, 16 and 32. There is no position table: any input of 32x32 pixels or more works.

===========  ============  ==================  ==========  ===========  ============
network      depths        dims                params (M)  MACs at 224  ImageNet top-1 as published
===========  ============  ==================  ==========  ===========  ============
``casvit_xs``  2, 2, 4, 2  48, 56, 112, 220      2.98        547 M      78.3
``casvit_s``   3, 3, 6, 3  48, 64, 128, 256      5.51        912 M      80.9
``casvit_m``   3, 3, 6, 3  64, 96, 192, 384     12.04       1859 M      82.8
``casvit_t``   3, 3, 6, 3  96, 128, 256, 512    21.25       3557 M      83.9
===========  ============  ==================  ==========  ===========  ============

Parameters are those of the deployed network; the paper counts a second (distillation) head too, which
``distilled=True`` adds. ``out_norms=True`` gives the dense networks' norm on each of the four maps.
"""

# No `from __future__ import annotations` here: torch.fx copies the annotations of `forward` into the
# graphs it generates, and TorchScript cannot resolve them there when they are strings.

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import trunc_normal_
from timm.models import (
    build_model_with_cfg,
    checkpoint_seq,
    generate_default_cfgs,
    reparameterize_model,
)
from timm.models._features import feature_take_indices
from torch import Tensor, nn

from pocketeye.errors import InvalidValue
from pocketeye.layers import fold_before
from pocketeye.models._registry import checkpoint_filter, register_model
from pocketeye.models.additive import AdditiveBlock, ConvNorm
from pocketeye.models.backbones.casvit_keys import checkpoint_filter_fn

NUM_STAGES = 4


class CASViT(nn.Module):
    """Build the backbone with an optional classifier; it honours timm's backbone contract.

    Args:
        depths: blocks per stage.
        dims: channels per stage, at strides 4, 8, 16 and 32.
        num_classes: outputs of the classifier, 0 for none.
        in_chans: channels of the input.
        drop_rate: dropout before the classifier.
        drop_path_rate: stochastic depth, rising linearly to this rate in the last block.
        mlp_ratio: hidden width of the MLPs over their width.
        distilled: a second head (DeiT); in eval mode the two are averaged, see
            :meth:`set_distilled_training`.
        out_norms: a BN on each of the maps of ``forward_intermediates``, as in the official dense
            networks.
    """

    def __init__(
        self,
        depths: tuple[int, ...] = (2, 2, 4, 2),
        dims: tuple[int, ...] = (48, 56, 112, 220),
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        mlp_ratio: float = 4.0,
        distilled: bool = False,
        out_norms: bool = False,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        assert len(depths) == len(dims) == NUM_STAGES
        _require_pool(global_pool, num_classes)
        self.num_classes, self.drop_rate, self.global_pool = num_classes, drop_rate, global_pool
        self.num_features = self.head_hidden_size = dims[-1]
        self.grad_checkpointing = self.distilled_training = False
        self.stem = nn.Sequential(
            ConvNorm(in_chans, dims[0] // 2),
            nn.ReLU(inplace=True),
            ConvNorm(dims[0] // 2, dims[0]),
            nn.ReLU(inplace=True),
        )
        # By the number of the block in the whole network, as in the official code, not within its stage.
        rates = (drop_path_rate * n / max(sum(depths) - 1, 1) for n in itertools.count())
        self.stages = nn.Sequential(*_stages(depths, dims, mlp_ratio, rates))
        self.feature_info: list[dict[str, Any]] = [
            {"num_chs": dim, "reduction": 4 << number, "module": f"stages.{number}"}
            for number, dim in enumerate(dims)
        ]
        self.out_norms: nn.ModuleList | None = None
        if out_norms:
            self.add_out_norms()
        self.norm: nn.Module = nn.BatchNorm2d(dims[-1])
        self.head = _classifier(dims[-1], num_classes)
        self.head_dist = _classifier(dims[-1], num_classes) if distilled else None

    @torch.jit.ignore
    def add_out_norms(self) -> None:
        """Give each of the four maps a BN of its own, where they have none yet."""
        if self.out_norms is None:
            norms = (nn.BatchNorm2d(row["num_chs"]) for row in self.feature_info)
            self.out_norms = nn.ModuleList(norms)

    @torch.jit.ignore
    def set_distilled_training(self, enable: bool = True) -> None:
        """Choose whether train mode returns ``(logits, dist_logits)`` instead of their mean.

        Raises:
            InvalidValue: the network was made without ``distilled=True``.
        """
        if enable and self.head_dist is None:
            raise InvalidValue("this network has one head: make it with distilled=True")
        self.distilled_training = enable

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Compute stages again in the backward pass, to save memory (timm's contract)."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Return layer groups for layer-wise learning rates (timm's convention)."""
        blocks = r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.blocks\.(\d+)"
        down = (r"^stages\.(\d+)\.downsample", (0,))
        # timm's number for what comes last, after any layer that a network may have.
        return {"stem": r"^stem", "blocks": [(blocks, None), down, (r"^norm", (99999,))]}

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """Return no names: timm leaves BN and biases out of weight decay by itself."""
        return set()

    def get_classifier(self) -> nn.Module:
        """Return the classifier (timm's contract)."""
        return self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the head or heads by fresh ones of ``num_classes`` outputs (0: none).

        ``global_pool=""`` takes the pooling away as well; None keeps the pooling there is.

        Raises:
            InvalidValue: no pooling in front of a classifier, or one that is not the mean.
        """
        global_pool = self.global_pool if global_pool is None else global_pool
        _require_pool(global_pool, num_classes)
        self.num_classes, self.global_pool = num_classes, global_pool
        self.head = _classifier(self.num_features, num_classes)
        if self.head_dist is not None:
            self.head_dist = _classifier(self.num_features, num_classes)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Return maps at strides 4 to 32 (timm's contract), through ``out_norms`` where there are any.

        ``norm`` has no effect: the norm before the classifier belongs to the classifier.
        """
        assert output_fmt == "NCHW", "CAS-ViT gives maps as NCHW only"
        take, last = feature_take_indices(NUM_STAGES, indices)
        x, maps = self.stem(x), []
        for number, stage in enumerate(self.stages[: last + 1] if stop_early else self.stages):
            # Each stage is a list of its pieces to checkpoint_seq, which recomputes them one by one.
            x = checkpoint_seq(stage, x) if self.grad_checkpointing else stage(x)
            if number in take:
                maps.append(x if self.out_norms is None else self.out_norms[number](x))
        return maps if intermediates_only else (self.norm(x), maps)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop what the chosen intermediates do not need; return their indices."""
        take, last = feature_take_indices(NUM_STAGES, indices)
        # Sequential takes slices, so that names and numbers of the others stay.
        self.stages = self.stages[: last + 1]
        if self.out_norms is not None:
            # Their places stay, so that the others keep their numbers.
            for number in set(range(NUM_STAGES)) - set(take):
                self.out_norms[number] = nn.Identity()
        if prune_head:
            self.norm, self.head_dist = nn.Identity(), None
            self.reset_classifier(0, "")
        return list(take)

    def forward_features(self, x: Tensor) -> Tensor:
        """Turn ``(N, in_chans, H, W)`` into ``(N, num_features, H/32, W/32)``, normalised."""
        x = self.stem(x)
        if self.grad_checkpointing and not torch.jit.is_scripting():
            x = checkpoint_seq(self.stages, x, flatten=True)
        else:
            x = self.stages(x)
        return self.norm(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor | tuple[Tensor, Tensor]:
        """Turn features into logits; ``pre_logits`` stops before the classifier."""
        if self.global_pool:
            x = x.mean((2, 3))
        if self.drop_rate > 0.0:
            x = nn.functional.dropout(x, p=self.drop_rate, training=self.training)
        if pre_logits or self.head_dist is None:
            return x if pre_logits else self.head(x)
        logits, dist_logits = self.head(x), self.head_dist(x)
        if self.training and self.distilled_training:
            return logits, dist_logits
        # DeiT's rule for inference, and the official network's in eval mode.
        return (logits + dist_logits) / 2

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.forward_head(self.forward_features(x))

    def fuse(self) -> "CASViT":
        """Make a copy for inference (eval mode): BN folded wherever that is exact, the heads averaged.

        What stays: ``out_norms``, because the un-normalised map goes on to the next stage and the
        normalised one leaves the network (its reader takes it in:
        :meth:`pocketeye.models.dense.fpn.FPNBackbone.fuse`); and the last norm where there is no
        classifier to take it in.
        """
        fused = reparameterize_model(self).eval()
        assert isinstance(fused, CASViT)
        # The mean of two linear layers is a linear layer: exact, and half of the work.
        if fused.head_dist is not None:
            fused.head, fused.head_dist = _averaged(fused.head, fused.head_dist), None
        # A mean over pixels stands between the two, which an affine map per channel passes unchanged.
        if isinstance(fused.norm, nn.BatchNorm2d) and isinstance(fused.head, nn.Linear):
            fused.head, fused.norm = fold_before(fused.norm, fused.head), nn.Identity()
        return fused


class Stage(nn.Module):
    """Reduce the map (not in the first stage), then apply blocks of one width."""

    def __init__(self, downsample: nn.Module, blocks: list[AdditiveBlock]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))

    def __iter__(self) -> Iterator[nn.Module]:
        """Iterate over the pieces in order, for gradient checkpointing."""
        return iter((self.downsample, *self.blocks))


def _stages(
    depths: tuple[int, ...], dims: tuple[int, ...], mlp_ratio: float, rates: Iterator[float]
) -> Iterator[Stage]:
    for number, (depth, dim) in enumerate(zip(depths, dims, strict=True)):
        down = ConvNorm(dims[number - 1], dim) if number else nn.Identity()
        yield Stage(down, [AdditiveBlock(dim, mlp_ratio, next(rates)) for _ in range(depth)])


def _classifier(in_features: int, num_classes: int) -> nn.Module:
    if not num_classes:
        return nn.Identity()
    layer = nn.Linear(in_features, num_classes)
    trunc_normal_(layer.weight, std=0.02)  # the official code's, for linear layers alone
    nn.init.zeros_(layer.bias)
    return layer


def _require_pool(global_pool: str, num_classes: int) -> None:
    if global_pool != "avg" and (global_pool or num_classes):
        raise InvalidValue(
            f"CAS-ViT pools by the mean: global_pool must be 'avg', or '' with num_classes=0, "
            f"not {global_pool!r}"
        )


def _averaged(first: nn.Module, second: nn.Module) -> nn.Module:
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    mean = copy.deepcopy(first)
    with torch.no_grad():
        mean.weight.copy_((first.weight + second.weight) / 2)
        mean.bias.copy_((first.bias + second.bias) / 2)
    return mean


def _cfg(**kwargs: Any) -> dict[str, Any]:
    return {
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        # The official evaluation at 224: the image resized to 256 and cropped.
        "crop_pct": 0.875,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stem.0.conv",
        "classifier": "head",
        "license": "mit",
        "paper_ids": "arXiv:2408.03703",
        "origin_url": "https://github.com/Tianfang-Zhang/CAS-ViT",
        **kwargs,
    }


default_cfgs = generate_default_cfgs(
    {f"casvit_{variant}.untrained": _cfg() for variant in ("xs", "s", "m", "t")}
)


checkpoint_filter(CASViT)(checkpoint_filter_fn)


def _create_casvit(variant: str, pretrained: bool, **kwargs: Any) -> CASViT:
    if kwargs.get("distilled"):
        # timm looks for the weights of every classifier that the configuration names.
        overlay = kwargs.get("pretrained_cfg_overlay") or {}
        kwargs["pretrained_cfg_overlay"] = {"classifier": ("head", "head_dist"), **overlay}
    return build_model_with_cfg(  # type: ignore[no-any-return]
        CASViT,
        variant,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": (0, 1, 2, 3), "feature_cls": "getter"},
        **kwargs,
    )


@register_model
def casvit_xs(pretrained: bool = False, **kwargs: Any) -> CASViT:
    """CAS-ViT-XS: 2.98 M parameters, 547 M MACs at 224."""
    shape = {"depths": (2, 2, 4, 2), "dims": (48, 56, 112, 220)}
    return _create_casvit("casvit_xs", pretrained, **{**shape, **kwargs})


@register_model
def casvit_s(pretrained: bool = False, **kwargs: Any) -> CASViT:
    """CAS-ViT-S: 5.51 M parameters, 912 M MACs at 224."""
    shape = {"depths": (3, 3, 6, 3), "dims": (48, 64, 128, 256)}
    return _create_casvit("casvit_s", pretrained, **{**shape, **kwargs})


@register_model
def casvit_m(pretrained: bool = False, **kwargs: Any) -> CASViT:
    """CAS-ViT-M: 12.04 M parameters, 1859 M MACs at 224."""
    shape = {"depths": (3, 3, 6, 3), "dims": (64, 96, 192, 384)}
    return _create_casvit("casvit_m", pretrained, **{**shape, **kwargs})


@register_model
def casvit_t(pretrained: bool = False, **kwargs: Any) -> CASViT:
    """CAS-ViT-T (the largest published): 21.25 M parameters, 3557 M MACs at 224."""
    shape = {"depths": (3, 3, 6, 3), "dims": (96, 128, 256, 512)}
    return _create_casvit("casvit_t", pretrained, **{**shape, **kwargs})
