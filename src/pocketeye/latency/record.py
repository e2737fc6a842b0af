"""A measurement is a record: the number, and everything one needs to trust or repeat it."""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pocketeye import runs
from pocketeye.runtimes.base import Timing

SCHEMA = "pocketeye.latency-record/1"

Clock = Literal["thread_cpu", "wall"]
CLOCKS: tuple[Clock, ...] = ("thread_cpu", "wall")


def choose_clock(threads: int) -> Clock:
    """The clock that decides: CPU time of the calling thread for one thread, else wall time.

    Thread CPU time is blind to other processes, which wall time on a shared machine is not. It is
    also blind to a second worker thread, and useless where the system counts it in ticks.
    """
    fine = time.get_clock_info("thread_time").resolution <= 1e-5
    return "thread_cpu" if threads == 1 and fine else "wall"


def latency_ms(timing: Timing, clock: Clock) -> float:
    """The median of ``timing`` by ``clock``, in milliseconds."""
    return timing.cpu_p50_ms if clock == "thread_cpu" else timing.p50_ms


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """What was measured: processor, number of logical processors, system, machine type."""

    cpu: str
    cpus: int
    os: str
    machine: str

    @classmethod
    def here(cls) -> Device:
        """The machine this runs on."""
        return cls(
            cpu=runs.cpu_name(),
            cpus=os.cpu_count() or 1,
            os=platform.platform(),
            machine=platform.machine(),
        )

    def same_as(self, other: Device) -> bool:
        """Whether latencies may be compared: the same processor (the system may be updated)."""
        return (self.cpu, self.cpus, self.machine) == (other.cpu, other.cpus, other.machine)

    def __str__(self) -> str:
        return f"{self.cpu} ({self.cpus} CPUs, {self.machine})"


@dataclass(frozen=True, kw_only=True, slots=True)
class LatencyRecord:
    """One measured latency with its origin; ``estimated`` marks a value nobody timed."""

    subject: str
    runtime: str
    runtime_version: str
    threads: int
    precision: str
    clock: Clock
    timing: Timing
    device: Device = field(default_factory=Device.here)
    flags: dict[str, Any] = field(default_factory=dict)
    protocol: dict[str, Any] = field(default_factory=dict)
    input_size: int | None = None
    estimated: bool = False
    date: str = field(default_factory=runs.now)
    git: str | None = field(default_factory=runs.git_hash)

    @property
    def latency_ms(self) -> float:
        return latency_ms(self.timing, self.clock)

    def to_dict(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "latency_ms": self.latency_ms, **asdict(self)}

    def save(self, path: Path) -> Path:
        """Write the record as JSON, atomically."""
        return runs.write_atomic(path, json.dumps(self.to_dict(), indent=1) + "\n")
