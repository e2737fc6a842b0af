"""Name the devices torch computes on, and the one that a name stands for on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from pocketeye.errors import InvalidValue, unknown

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda", "mps")


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device that ``auto`` stands for (CUDA, then MPS, then the CPU), or the named one.

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


def under_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def under_srun() -> bool:
    """Tell whether srun started this process as one of several (a batch script alone is one process)."""
    # torchrun inside of srun announces itself.
    if "RANK" in os.environ:
        return False
    return int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in os.environ


def started_by_cluster() -> bool:
    """Tell whether torchrun or srun has started the processes and says how many there are."""
    return under_torchrun() or under_srun()


def rank_and_world() -> tuple[int, int]:
    """Return (rank, processes); before the group exists what torchrun or srun announces."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    if under_srun():
        return int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_STEP_NUM_TASKS"])
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Tell whether this is rank 0, or the only one."""
    if under_srun():
        # Before the group exists there is only the environment.
        return int(os.environ["SLURM_PROCID"]) == 0
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Give torch ``count`` threads inside the block; None leaves them as they are."""
    before = torch.get_num_threads()
    # Torch's number of threads is the process's: the caller gets it back.
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
