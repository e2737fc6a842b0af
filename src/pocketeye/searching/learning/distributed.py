"""Use several processes without DDP's reducer, whose fixed set of gradients a changing path breaks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn


class UnwrappedDDP(DDPStrategy):
    """Use DDP's processes, launcher and collectives, with the module left as it is.

    Gradients are averaged by :func:`average_gradients` after each backward pass.
    """

    def configure_ddp(self) -> None:
        # Each process initialised its own weights: they begin with those of rank 0.
        assert isinstance(self.model, nn.Module)
        broadcast([*self.model.parameters(), *self.model.buffers()])


def strategy_options(num_processes: int) -> dict[str, Any]:
    """Return what Lightning's trainer has to be told of several processes."""
    # torchrun has started the processes already: spawning more would double them.
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return {"strategy": UnwrappedDDP()}
    if num_processes == 1:
        return {}
    # Spawn, not fork: CUDA and threads do not survive a fork.
    return {"strategy": UnwrappedDDP(start_method="spawn")}


def world_size() -> int:
    """Return how many processes take part; 1 outside a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient that is there by its mean over the processes, in one all-reduce.

    All processes must hold gradients for the same parameters (they drew the same path).
    """
    if world_size() == 1:
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    if grads:
        _in_one(grads, dist.all_reduce)  # a sum: gloo has no mean
        torch._foreach_div_(grads, float(world_size()))


def average(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return means over the processes of scalars that all of them have."""
    result = dict(values)
    if world_size() > 1 and values:
        flat = torch.stack(list(values.values()))
        dist.all_reduce(flat)
        result = dict(zip(values, flat / world_size(), strict=True))
    return result


def broadcast(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with the values of rank 0, in one broadcast a dtype."""
    if world_size() == 1:
        return
    by_dtype: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        by_dtype.setdefault(tensor.dtype, []).append(tensor.detach())
    for group in by_dtype.values():
        _in_one(group, lambda flat: dist.broadcast(flat, src=0))


def _in_one(tensors: Sequence[Tensor], collective: Any) -> None:
    # One call for all: the cost of a collective is that of its start, for tensors as small as these.
    with torch.no_grad():
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        collective(flat)
        for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view(tensor.shape))
