"""Hold every candidate of every layer with weights of its own (FBNet, section 3.2).

Index convention, everywhere in this room: candidate ``c`` of layer ``l`` is column ``c`` of
``space.ops``, so theta, mixture weights, latency matrices and ``SuperNet.mask`` all have the shape
(L, C) = (layers, ops). Columns that are illegal at a layer are False in ``mask``; they hold no
module, and whatever stands there in a weight tensor is not read.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pocketeye.errors import InvalidValue
from pocketeye.models import Architecture, SearchSpace, build_block
from pocketeye.models.dense.pixel_head import PixelHead
from pocketeye.models.size import size_text
from pocketeye.searching.supernet.alignment import align
from pocketeye.searching.supernet.mixture import mix
from pocketeye.searching.supernet.pixel_path import PixelPath


class SuperNet(nn.Module):
    """Run stem, layers of candidates and head of a search space.

    Args:
        space: the search space; also kept as ``self.space``.
        aligned: begin with candidates that are the same function where they nest, and with blocks
            that are a skip where there is a shortcut (``_alignment.py`` says why); otherwise every
            candidate is initialised by itself.
        pixel_head: reads maps of several layers and labels pixels, in place of the head of the space,
            which labels images.

    Attributes:
        mask: bool (L, C), True where a candidate is legal.
        layers: per layer a ``ModuleDict`` from op name to module (identity for a skip).
    """

    mask: Tensor

    def __init__(
        self, space: SearchSpace, *, aligned: bool = False, pixel_head: PixelHead | None = None
    ) -> None:
        super().__init__()
        self.space = space
        self.stem = build_block(space.stem())
        self.layers = nn.ModuleList(
            nn.ModuleDict({op: build_block(position.spec(op)) for op in position.candidates})
            for position in space.positions
        )
        self.head = build_block(space.head()) if pixel_head is None else pixel_head
        if aligned:
            for layer in self._layers():
                align(layer.values())
        # Not saved: it follows from the space.
        legal = [[op in position.candidates for op in space.ops] for position in space.positions]
        self.register_buffer("mask", torch.tensor(legal), persistent=False)

    @property
    def num_layers(self) -> int:
        """Number of searched layers."""
        return len(self.layers)

    def forward(self, x: Tensor, choices: Sequence[int]) -> Tensor:
        """Do the same as :meth:`forward_path`."""
        return self.forward_path(x, choices)

    def forward_path(self, x: Tensor, choices: Sequence[int]) -> Tensor:
        """Run one network of the space: images (B, in_chans, S, S) to logits (B, num_classes), or with
        a pixel head images (B, in_chans, H, W) to logits (B, K, H, W).

        Args:
            x: images.
            choices: per layer a column of ``space.ops``.
        """
        assert len(choices) == self.num_layers

        def chosen(number: int, layer: nn.ModuleDict, x: Tensor) -> Tensor:
            return cast(Tensor, layer[self.space.ops[choices[number]]](x))

        return self._through(x, chosen)

    def forward_mixture(self, x: Tensor, weights: Tensor, *, checkpointing: bool = False) -> Tensor:
        """Run every layer as the weighted sum of its candidates (FBNet, equation 5).

        Args:
            x: images (B, in_chans, S, S).
            weights: (L, C) for the whole batch or (B, L, C) per image; illegal columns are not read.
            checkpointing: keep only the maps between layers and compute the rest again in the
                backward pass (the activations of one layer at a time, about a quarter more time).
                Running statistics of BN count a batch once all the same.
        """

        def mixed(number: int, layer: nn.ModuleDict, x: Tensor) -> Tensor:
            columns = [self.space.ops.index(op) for op in layer]
            row = weights[..., number, columns]
            if checkpointing and torch.is_grad_enabled():
                recomputed: Tensor = checkpoint(
                    _mixed_layer, layer, x, row,
                    use_reentrant=False, preserve_rng_state=False,
                    context_fn=_Recompute(layer),
                )  # fmt: skip
                return recomputed
            return _mixed_layer(layer, x, row)

        return self._through(x, mixed)

    def _through(self, x: Tensor, step: Callable[[int, nn.ModuleDict, Tensor], Tensor]) -> Tensor:
        """Run the stem, every layer by ``step(number, layer, x)``, and the head."""
        size, maps = x.shape[-2:], {}
        map_layers = self.head.layers if isinstance(self.head, PixelHead) else ()
        x = self.stem(x)
        for number, layer in enumerate(self._layers()):
            x = step(number, layer, x)
            if number in map_layers:
                maps[number] = x
        return cast(Tensor, self.head(maps, size) if map_layers else self.head(x))

    @contextmanager
    def batch_statistics_only(self) -> Iterator[None]:
        """Let BN normalise by the batch as in training, and leave its running statistics alone."""
        with _untracked(self):
            yield

    def subnet(self, architecture: Architecture) -> nn.Module:
        """Copy a network of the space with the supernet's weights and BN statistics.

        Nothing is shared: recalibrating or training the copy does not touch the supernet. Its BN
        statistics are the supernet's, which belong to a mixture of paths: recalibrate before use.

        Raises:
            InvalidValue: the architecture does not belong to the space.
        """
        # The space builds it again: another stem, head or size would be another network.
        ours = self.space.architecture(self.space.choices(architecture), architecture.name)
        if ours != architecture:
            raise InvalidValue(
                f"architecture {architecture.name!r} does not belong to the space "
                f"{self.space.name!r} at {size_text(self.space.input_size)} pixels"
            )
        blocks = zip(self._layers(), architecture.blocks, strict=True)
        chosen = [layer[block.op] for layer, block in blocks]
        if isinstance(self.head, PixelHead):
            path = PixelPath(self.stem, chosen, self.head)
            return copy.deepcopy(path).requires_grad_(True)
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            stem=self.stem, blocks=nn.Sequential(*chosen), head=self.head
        )
        # Copied from a supernet that may be in the half of an epoch in which weights are frozen.
        return copy.deepcopy(nn.Sequential(parts)).requires_grad_(True)

    def _layers(self) -> list[nn.ModuleDict]:
        return [cast(nn.ModuleDict, layer) for layer in self.layers]


def _mixed_layer(layer: nn.ModuleDict, x: Tensor, weights: Tensor) -> Tensor:
    return mix([block(x) for block in layer.values()], weights)


def _norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


@contextmanager
def _untracked(module: nn.Module) -> Iterator[None]:
    # In training mode BN looks at this flag alone to decide whether to update its buffers.
    tracked = [norm for norm in _norms(module) if norm.track_running_stats]
    for norm in tracked:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracked:
            norm.track_running_stats = True


@contextmanager
def _unmoved(module: nn.Module) -> Iterator[None]:
    # Unlike _untracked this keeps the buffers in the graph, as a recomputation has to.
    norms = _norms(module)
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, batches) in zip(norms, before, strict=True):
        assert batches is not None
        # With a momentum of zero the running mean is "updated" to what it was.
        norm.momentum, norm.num_batches_tracked = 0.0, batches.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


class _Recompute:
    """Give the contexts of a checkpointed layer: its second pass must not count the batch again."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        # The backward pass may run after batch_statistics_only() has ended.
        self.recompute_context = (
            _unmoved if any(n.track_running_stats for n in _norms(layer)) else _untracked
        )

    def __call__(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), self.recompute_context(self.layer)
