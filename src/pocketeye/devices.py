"""Names of the devices torch computes on, and the one that a name stands for on this machine."""

from __future__ import annotations

from typing import Literal

import torch

from pocketeye.errors import InvalidValue, unknown

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda", "mps")


def resolve_device(device: str | torch.device) -> torch.device:
    """The torch device that ``auto`` stands for (CUDA, then MPS, then the CPU), or the named one.

    Args:
        device: one of :data:`DEVICES`, with a number where there are several (``cuda:1``), or torch's.

    Raises:
        InvalidValue: misspelt, or not on this machine.
    """
    if isinstance(device, torch.device):
        return device
    kind = device.partition(":")[0]
    if kind not in DEVICES:
        raise unknown("device", device, DEVICES)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next((name for name, is_there in there.items() if is_there), "cpu"))
    if not there.get(kind, True):
        raise InvalidValue(f"this machine has no {kind} device for torch: use --device cpu")
    return torch.device(device)
