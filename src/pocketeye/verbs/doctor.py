"""Run ``pocketeye doctor``: what this machine and installation can do, and whether to measure now."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pocketeye import provenance
from pocketeye.latency.machine import (
    clock_resolution_ns,
    free_memory_bytes,
    measuring_advice,
    memory_pages_bytes,
    system_load,
    torch_devices,
    usable_cores,
)
from pocketeye.runtimes import PACKAGES, available_runtimes
from pocketeye.text import human_bytes, text_table
from pocketeye.verb_result import VerbResult


@dataclass(frozen=True, kw_only=True)
class DoctorResult(VerbResult):
    """Hold facts about the machine. Sizes in bytes, ``clock_resolution_ns`` as seen between two reads,
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
        # Optional runtimes are told in their rows: nobody needs all of them.
        needed = [line for name, line in self.install.items() if PACKAGES[name].extra is None]
        return [*needed, "pocketeye demo"]

    def _runtime(self, name: str) -> str:
        return self.runtimes[name] or f"not installed: {self.install[name]}"


def doctor() -> DoctorResult:
    """Report versions, devices, runtimes, and whether now is a good moment to measure."""
    runtimes = available_runtimes()
    cores, load = os.cpu_count() or 1, system_load()
    return DoctorResult(
        versions=_versions(),
        os=str(provenance.environment()["os"]),
        cpu=provenance.cpu_name(),
        cores=cores,
        usable_cores=usable_cores(),
        memory_bytes=memory_pages_bytes("SC_PHYS_PAGES"),
        free_memory_bytes=free_memory_bytes(),
        free_disk_bytes=shutil.disk_usage(Path.cwd()).free,
        devices=torch_devices(),
        runtimes=runtimes,
        # Only what is missing: a command for what is there would mislead.
        install={name: PACKAGES[name].install for name, found in runtimes.items() if found is None},
        clock_resolution_ns=clock_resolution_ns(),
        load=load,
        measuring=measuring_advice(load, cores),
    )


def _versions() -> dict[str, str | None]:
    found = provenance.environment()
    versions: dict[str, str | None] = {"python": found["python"], **found["packages"]}
    versions["numpy"] = metadata.version("numpy")
    return versions


def _bytes(size: int | None) -> str:
    return "unknown" if size is None else human_bytes(size)
