"""``pocketeye doctor``: what this machine and installation can do, and whether to measure now."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from pocketeye import runs
from pocketeye.runtimes import PACKAGES, available_runtimes
from pocketeye.text import human_bytes, text_table
from pocketeye.verbs._result import VerbResult

# Above this share of busy cores another process is likely to be on ours while we measure.
_QUIET, _BUSY = 0.1, 0.5


@dataclass(frozen=True, kw_only=True)
class DoctorResult(VerbResult):
    """Facts about the machine. Sizes in bytes, ``clock_resolution_ns`` as seen between two reads,
    ``load`` the mean number of busy processes over the last minute (None where unknown)."""

    versions: dict[str, str | None]
    os: str
    cpu: str
    cores: int
    usable_cores: int
    memory_bytes: int | None
    free_memory_bytes: int | None
    free_disk_bytes: int
    devices: dict[str, str]
    runtimes: dict[str, str | None]
    install: dict[str, str]
    clock_resolution_ns: int
    load: float | None
    measuring: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        rows = [
            *((name, version or "not installed") for name, version in self.versions.items()),
            ("os", self.os),
            ("cpu", f"{self.cpu}, {self.cores} cores ({self.usable_cores} usable)"),
            ("memory", f"{_bytes(self.memory_bytes)} ({_bytes(self.free_memory_bytes)} free)"),
            ("disk", f"{human_bytes(self.free_disk_bytes)} free here"),
            *((f"device {name}", text) for name, text in self.devices.items()),
            *((f"runtime {name}", self._runtime(name)) for name in self.runtimes),
            ("clock", f"resolves {self.clock_resolution_ns} ns"),
            ("measuring", self.measuring),
        ]
        return text_table(("what", "found"), rows)

    def next_commands(self) -> list[str]:
        return [*self.install.values(), "pocketeye demo"]

    def _runtime(self, name: str) -> str:
        return self.runtimes[name] or f"not installed: {self.install[name]}"


def doctor() -> DoctorResult:
    """Report versions, devices, runtimes, and whether now is a good moment to measure."""
    runtimes = available_runtimes()
    cores, load = os.cpu_count() or 1, _load()
    return DoctorResult(
        versions=_versions(),
        os=str(runs.environment()["os"]),
        cpu=runs.cpu_name(),
        cores=cores,
        usable_cores=_usable_cores(),
        memory_bytes=_pages("SC_PHYS_PAGES"),
        free_memory_bytes=_free_memory(),
        free_disk_bytes=shutil.disk_usage(Path.cwd()).free,
        devices=_devices(),
        runtimes=runtimes,
        install={name: PACKAGES[name].install for name, found in runtimes.items() if found is None},
        clock_resolution_ns=_clock_resolution_ns(),
        load=load,
        measuring=measuring_advice(load, cores),
    )


def measuring_advice(load: float | None, cores: int) -> str:
    """A word on whether timings taken now would be worth much, from the load of ``cores`` cores."""
    if load is None:
        return "this system does not tell its load: close other programs before measuring"
    share = load / cores
    said = f"load {load:.2f} on {cores} cores"
    if share <= _QUIET:
        return f"{said}: quiet, a good moment to measure"
    if share <= _BUSY:
        return f"{said}: something is running, timings will be noisier"
    return f"{said}: busy, wait before you measure"


def _versions() -> dict[str, str | None]:
    found = runs.environment()
    versions: dict[str, str | None] = {"python": found["python"], **found["packages"]}
    versions["numpy"] = metadata.version("numpy")
    return versions


def _devices() -> dict[str, str]:
    devices = {"cpu": torch.backends.cpu.get_cpu_capability()}
    for index in range(torch.cuda.device_count()):
        props = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{props.name}, {human_bytes(props.total_memory)}"
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def _usable_cores() -> int:
    # Containers and taskset give a process fewer cores than the machine has.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _load() -> float | None:
    getloadavg = getattr(os, "getloadavg", None)
    return float(getloadavg()[0]) if getloadavg else None


def _pages(name: str) -> int | None:
    sysconf, names = getattr(os, "sysconf", None), getattr(os, "sysconf_names", {})
    if sysconf is None or name not in names:
        return None
    return int(sysconf(name)) * int(sysconf("SC_PAGE_SIZE"))


def _free_memory() -> int | None:
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return _pages("SC_AVPHYS_PAGES")
    fields = dict(line.split(":", 1) for line in meminfo.read_text("ascii").splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _clock_resolution_ns() -> int:
    steps = []
    for _ in range(100):
        start = now = time.perf_counter_ns()
        while now == start:
            now = time.perf_counter_ns()
        steps.append(now - start)
    return min(steps)


def _bytes(size: int | None) -> str:
    return "unknown" if size is None else human_bytes(size)
