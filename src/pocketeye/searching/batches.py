"""Name what the parts of a search hand to each other: batches of images, and where they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

Batch = Sequence[Tensor]
"""Images (B, C, S, S), labels (B,), and whatever else a data set gives."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""Gives the mean of a batch, of logits and labels, in nats."""


class Loader(Protocol):
    """Give batches (images (B, C, S, S), labels (B,)), anew at every ``iter``."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


def placed(images: Tensor, device: torch.device) -> Tensor:
    """Put images on the device, in the layout that makes depthwise convolutions fast on a CPU."""
    layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
    return images.to(device, memory_format=layout)
