"""Use any timm backbone as the body of a detector or segmenter: maps by stride, parts of it frozen.

Heads ask for ``feature_info`` and nothing else. The keys of the weights are those of the plain
backbone under ``model.``, so the file of a classifier goes in as it is, by
:func:`pocketeye.models.load_backbone`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from timm.layers import convert_sync_batchnorm
from timm.models._features import FeatureGetterNet
from torch import Tensor, nn

from pocketeye.errors import InvalidValue, unknown
from pocketeye.models.backbones.casvit import CASViT

NormMode = Literal["live", "sync", "eval", "frozen"]
NORM_MODES: tuple[NormMode, ...] = ("live", "sync", "eval", "frozen")
STRIDES = (4, 8, 16, 32)  # of the four resolutions that dense networks read


class DenseBackbone(FeatureGetterNet):
    """Turn ``(N, C, H, W)`` into a list of maps, one per stride, each ``ceil(H / stride)`` high.

    Args:
        model: a backbone with ``feature_info`` and ``forward_intermediates``; it is pruned.
        strides: of the maps, rising.
        norms: what training does to BN. ``live``: ordinary BN. ``sync``: its statistics are taken over
            all processes. ``eval``: the statistics stay, scale and shift are trained (what the
            CAS-ViT recipes mean by frozen BN). ``frozen``: neither changes.
        trainable_stages: how many of the four resolutions train, from the deepest; the rest, its
            BN included, stays as it is.

    Raises:
        InvalidValue: a map at one of the strides is missing, or an option is unknown.
    """

    def __init__(
        self,
        model: nn.Module,
        strides: Sequence[int] = STRIDES,
        norms: NormMode = "eval",
        trainable_stages: int = len(STRIDES),
    ) -> None:
        if norms not in NORM_MODES:
            raise unknown("treatment of norms", norms, NORM_MODES)
        if not 0 <= trainable_stages <= len(STRIDES):
            raise InvalidValue(f"trainable_stages must be 0 to 4, not {trainable_stages}")
        # The official dense networks have a norm on each map, their classifiers have not.
        if isinstance(model, CASViT):
            model.add_out_norms()
        if trainable_stages < len(STRIDES):
            # Before pruning: what a stage depends on is asked of the whole network.
            _freeze_up_to(model, STRIDES[len(STRIDES) - 1 - trainable_stages])
        super().__init__(model, out_indices=tuple(_indices(model, strides)))
        self.strides, self.norms = tuple(strides), norms
        if norms == "sync":  # small batches per process make poor statistics
            self.model = convert_sync_batchnorm(self.model)
        # Scale and shift too: as torchvision's FrozenBatchNorm2d.
        if norms == "frozen":
            for norm in self._batch_norms():
                norm.requires_grad_(False)
        # What train() does to frozen norms holds from the beginning.
        self.train(self.training)

    def train(self, mode: bool = True) -> DenseBackbone:
        """Set training mode, but keep frozen statistics frozen.

        The official CAS-ViT code does the same, but returns None, so that its ``eval()`` does too.
        """
        super().train(mode)
        for norm in self._batch_norms():
            # Stages below trainable_stages: their BN is fixed whatever happens to the others.
            fixed = norm.weight is not None and not norm.weight.requires_grad
            if fixed or self.norms in ("eval", "frozen"):
                norm.eval()
        return self

    def take_out_norms(self) -> list[nn.BatchNorm2d]:
        """Take the norms that CAS-ViT puts on its maps, one per stride, for the maps' readers to fold.

        From now on the maps are without them. Other backbones have none: an empty list.
        """
        model = self.model
        if not isinstance(model, CASViT) or model.out_norms is None:
            return []
        indices: Any = self.out_indices
        norms = [model.out_norms[index] for index in indices]
        model.out_norms = None
        # A SyncBatchNorm would have been reverted before (models.fuse).
        assert all(type(norm) is nn.BatchNorm2d for norm in norms), "other norms cannot be folded"
        return norms

    def _batch_norms(self) -> list[nn.modules.batchnorm._BatchNorm]:
        return [m for m in self.model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def _indices(model: nn.Module, strides: Sequence[int]) -> list[int]:
    """Return the index of the last map at each stride."""
    info: Any = model.feature_info
    rows = [info[n] if isinstance(info, list) else info.get_dicts()[n] for n in range(len(info))]
    last = {row["reduction"]: index for index, row in enumerate(rows)}
    if missing := [stride for stride in strides if stride not in last]:
        raise InvalidValue(
            f"a dense head needs maps at strides {', '.join(map(str, strides))}; "
            f"{type(model).__name__} has none at {', '.join(map(str, missing))} "
            f"(it has {', '.join(map(str, sorted(last)))})"
        )
    return [last[stride] for stride in strides]


def _freeze_up_to(model: nn.Module, stride: int) -> None:
    """Freeze every parameter that the map at ``stride`` depends on.

    Autograd knows which: names and order of a backbone's modules tell nothing reliable.
    """
    cfg: Any = getattr(model, "default_cfg", {})
    chans, *size = cfg.get("input_size", (3, 64, 64))
    # A small image: the graph is the same at any size that the network takes.
    size = size if cfg.get("fixed_input_size") else [64, 64]
    weight = next(model.parameters())
    x = torch.zeros(1, chans, *size, device=weight.device, dtype=weight.dtype)
    # In eval mode: a batch of zeros must leave no statistics.
    was_training = model.training
    call: Any = model.eval()
    maps: list[Tensor] = call.forward_intermediates(
        x, indices=_indices(model, [stride]), intermediates_only=True
    )
    parameters = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(maps[0].sum(), parameters, allow_unused=True)
    for parameter, grad in zip(parameters, grads, strict=True):
        if grad is not None:
            parameter.requires_grad_(False)
    model.train(was_training)
