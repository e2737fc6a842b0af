"""Tell the state of the machine: memory, cores, clock, and whether timings now would be worth much."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from pocketeye.text import human_bytes

# Above this share of busy cores another process is likely to be on ours while we measure.
_QUIET, _BUSY = 0.1, 0.5


def measuring_advice(load: float | None, cores: int) -> str:
    """Say whether timings taken now would be worth much, from the load of ``cores`` cores."""
    if load is None:
        return "this system does not tell its load: close other programs before measuring"
    share = load / cores
    phrase = f"load {load:.2f} on {cores} cores"
    if share <= _QUIET:
        return f"{phrase}: quiet, a good moment to measure"
    if share <= _BUSY:
        return f"{phrase}: something is running, timings will be noisier"
    return f"{phrase}: busy, wait before you measure"


def has_accelerator() -> bool:
    """Tell whether torch can compute on something else than the CPU here.

    On Linux torch is asked only where the driver of a GPU has left its file: importing it takes seconds.
    """
    # NVIDIA's, AMD's, and that of Windows' subsystem for Linux.
    files = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
    if platform.system() == "Linux" and not any(file.exists() for file in files):
        return False
    return set(torch_devices()) != {"cpu"}


def torch_devices() -> dict[str, str]:
    """Return the devices torch can use, with what they are."""
    import torch  # only here: the count of cores is asked for by what runs without it

    devices = {"cpu": torch.backends.cpu.get_cpu_capability()}
    for index in range(torch.cuda.device_count()):
        props = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{props.name}, {human_bytes(props.total_memory)}"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def usable_cores() -> int:
    """Count the cores this process may use."""
    # Containers and taskset give a process fewer cores than the machine has.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def system_load() -> float | None:
    """Return the mean number of busy processes over the last minute; None where unknown."""
    getloadavg = getattr(os, "getloadavg", None)
    # Windows has none.
    return float(getloadavg()[0]) if getloadavg else None


def memory_pages_bytes(name: str) -> int | None:
    """Return a number of memory pages that the system counts, in bytes; None where unknown."""
    sysconf, names = getattr(os, "sysconf", None), getattr(os, "sysconf_names", {})
    if sysconf is None or name not in names:
        return None
    return int(sysconf(name)) * int(sysconf("SC_PAGE_SIZE"))


def free_memory_bytes() -> int | None:
    """Return the memory that is free now; None where unknown."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return memory_pages_bytes("SC_AVPHYS_PAGES")
    fields = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
    # MemAvailable counts what caches would give back; "free" alone is nearly nothing on a used machine.
    return int(fields["MemAvailable"].split()[0]) * 1024


def clock_resolution_ns() -> int:
    """Find the smallest step of the clock between two reads."""
    steps = []
    # The smallest of many: any single step may have been interrupted.
    for _ in range(100):
        start = now = time.perf_counter_ns()
        while now == start:
            now = time.perf_counter_ns()
        steps.append(now - start)
    return min(steps)  # longer ones were interrupted
