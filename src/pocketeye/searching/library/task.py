"""Teach all candidates of all layers at once, as a Lightning module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from pocketeye.searching.learning import distributed, schedule
from pocketeye.searching.supernet.supernet import SuperNet

# Of a map's mean variance: keeps channels that hardly vary from deciding the loss.
_FLOOR = 0.01


def channel_scale(target: Tensor) -> Tensor:
    """Return what squared errors are divided by, one number a channel (C,), from a map (N, C, H, W)."""
    variance = target.float().var((0, 2, 3), correction=0)
    return variance + _FLOOR * variance.mean() + torch.finfo(torch.float32).tiny


def normalized_error(output: Tensor, target: Tensor, scale: Tensor) -> Tensor:
    """Return the mean squared error of channel-normalised maps: 0 is the target, about 1 its mean.

    Args:
        output: (N, C, H, W).
        target: the teacher's map of the same shape.
        scale: of :func:`channel_scale`.
    """
    squares = (output.float() - target.float()).square().mean((0, 2, 3))
    return (squares / scale).mean()


class LibraryTask(LightningModule):
    """Teach every candidate to give the teacher's output for the teacher's input (DNA, equation 4).

    The teacher's own blocks, stem and head stand still, and run with their running statistics. A step
    is one forward pass of the teacher and, at every layer, one forward and backward pass of each
    candidate.

    Args:
        supernet: holds the teacher's blocks as candidates; trained in place.
        teacher: columns of the teacher's blocks, one a layer.
        lr: learning rate at the start.
        epochs: in all, for the cosine.
        steps_per_epoch: for the cosine too.
    """

    def __init__(
        self,
        supernet: SuperNet,
        teacher: Sequence[int],
        *,
        lr: float,
        epochs: int,
        steps_per_epoch: int,
    ) -> None:
        super().__init__()
        # Every candidate has a loss of its own, whose graph is freed before the next begins.
        self.automatic_optimization = False
        self.supernet, self.teacher = supernet, tuple(teacher)
        self.lr, self.steps = lr, epochs * steps_per_epoch
        self.steps_per_epoch = steps_per_epoch
        self._losses: list[Tensor] = []
        supernet.requires_grad_(False)
        for _, _, module in taught(supernet, self.teacher):
            module.requires_grad_(True)

    def configure_optimizers(self) -> Optimizer:
        return Adam([p for p in self.supernet.parameters() if p.requires_grad], lr=self.lr)

    def on_fit_start(self) -> None:
        if self.device.type != "mps":
            self.supernet.to(memory_format=torch.channels_last)

    def on_train_epoch_start(self) -> None:
        self._losses = []
        self.supernet.eval()
        for _, _, module in taught(self.supernet, self.teacher):
            module.train()

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:
        images = batch[0]
        if self.device.type != "mps":
            images = images.contiguous(memory_format=torch.channels_last)
        done = (self.current_epoch * self.steps_per_epoch + batch_idx) / self.steps
        optimiser: Any = self.optimizers()
        for group in optimiser.param_groups:
            group["lr"] = schedule.cosine(self.lr, done)
        total, count = torch.zeros((), device=self.device), 0
        for layer, x, y in teacher_maps(self.supernet, self.teacher, images):
            scale = channel_scale(y)
            for module in learners(self.supernet, layer, self.teacher[layer]).values():
                loss = normalized_error(module(x), y, scale)
                self.manual_backward(loss)
                total, count = total + loss.detach(), count + 1
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        distributed.average_gradients(parameters)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        mean = total / max(count, 1)
        self._losses.append(mean)
        return mean

    def on_train_epoch_end(self) -> None:
        distributed.broadcast(self.supernet.buffers())
        means = distributed.average({"error": torch.stack(self._losses).mean()})
        self.log_dict({name: float(value) for name, value in means.items()})


def learners(supernet: SuperNet, layer: int, teacher: int) -> dict[str, nn.Module]:
    """Return the candidates of a layer that have something to learn: no skip, and not the teacher's."""
    modules = cast(nn.ModuleDict, supernet.layers[layer])
    own = supernet.space.ops[teacher]
    return {
        op: module
        for op, module in modules.items()
        if op != own and any(True for _ in module.parameters())
    }


def taught(supernet: SuperNet, teacher: Sequence[int]) -> Iterator[tuple[int, str, nn.Module]]:
    """Go through all candidates that learn: layer, op, module."""
    for layer, column in enumerate(teacher):
        for op, module in learners(supernet, layer, column).items():
            yield layer, op, module


def teacher_maps(
    supernet: SuperNet, teacher: Sequence[int], images: Tensor
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Run the teacher; give layer, input and output of each of its blocks, without gradients."""
    with torch.no_grad():
        x = supernet.stem(images)
    for layer, column in enumerate(teacher):
        with torch.no_grad():
            y = block_of(supernet, layer, column)(x)
        yield layer, x, y
        x = y


def block_of(supernet: SuperNet, layer: int, column: int) -> nn.Module:
    """Return the candidate in that column of a layer."""
    modules = cast(nn.ModuleDict, supernet.layers[layer])
    return modules[supernet.space.ops[column]]
