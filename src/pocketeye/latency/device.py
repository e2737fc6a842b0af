"""Tell which machine a number is of, and processors of one name apart."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pocketeye import provenance
from pocketeye.reading import Range

if TYPE_CHECKING:  # brings numpy, and `pocketeye list` shows devices
    from pocketeye.runtimes.base import Runtime

CPUINFO = Path("/proc/cpuinfo")
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
MAX_CLOCK = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
# Extensions that change how fast convolutions and matrix products run, as Linux spells them.
INSTRUCTION_SETS = (
    "sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx_vnni",
    "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16",
    "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2", "sme",
)  # fmt: skip
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """Describe the machine that was measured.

    Two processors of one marketing name ("AMD EPYC") can differ by a factor of two, so the record holds
    what the processor says of itself. Fields are None or empty where the system does not tell them, and
    in records that were made before they were kept.

    Attributes:
        cpu: name of the processor.
        cpus: number of logical processors.
        os: the operating system, with its version.
        machine: the instruction set architecture, such as x86_64.
        vendor: of the processor, such as AuthenticAMD.
        family, model, stepping: numbers of the design, as the vendor counts them.
        instruction_sets: those of :data:`INSTRUCTION_SETS` that it has.
        l1d_bytes, l2_bytes, l3_bytes: sizes of the data caches that the first core sees.
        clock_mhz: the highest clock; in a virtual machine, which does not tell it, the nominal one.
    """

    cpu: str
    cpus: Annotated[int, Range(1, 1e6)]
    os: str
    machine: str
    vendor: str | None = None
    family: int | None = None
    model: int | None = None
    stepping: int | None = None
    instruction_sets: tuple[str, ...] = ()
    l1d_bytes: int | None = None
    l2_bytes: int | None = None
    l3_bytes: int | None = None
    clock_mhz: int | None = None

    @classmethod
    def here(cls) -> Device:
        """Describe the machine this runs on."""
        facts = _cpuinfo(CPUINFO)
        # x86 says flags, ARM says Features.
        flags = {*facts.get("flags", facts.get("Features", "")).split()}
        return cls(
            cpu=provenance.cpu_name(),
            cpus=os.cpu_count() or 1,
            os=platform.platform(),
            machine=platform.machine(),
            # The second name of each pair is ARM's.
            vendor=facts.get("vendor_id") or facts.get("CPU implementer"),
            family=_number(facts.get("cpu family") or facts.get("CPU architecture")),
            model=_number(facts.get("model") or facts.get("CPU part")),
            stepping=_number(facts.get("stepping") or facts.get("CPU revision")),
            instruction_sets=tuple(name for name in INSTRUCTION_SETS if name in flags),
            **_cache_sizes(CACHES),
            clock_mhz=_clock_mhz(facts),
        )

    @classmethod
    def of(cls, runtime: Runtime) -> Device:
        """Describe the device that networks of a runtime run on: this machine, or the connected one.

        Raises:
            UserError: none connected.
        """
        facts = runtime.device_facts()
        return cls.here() if facts is None else cls(**facts)

    def same_as(self, other: Device) -> bool:
        """Tell whether latencies may be compared: the same processor (the system may be updated).

        The numbers of the design decide where both devices tell them.
        """
        # The system's version is not compared: an update does not make the processor another one.
        if (self.cpu, self.cpus, self.machine) != (other.cpu, other.cpus, other.machine):
            return False
        mine, theirs = self._design(), other._design()
        # One side that does not tell its design cannot be told apart by it.
        if None not in (*mine, *theirs) and mine != theirs:
            return False
        return not self.lacks(other) and not other.lacks(self)

    def lacks(self, other: Device) -> tuple[str, ...]:
        """Return the instruction sets of another device that are not here, where both tell theirs.

        A virtual machine may hide some of its processor, which changes its latencies.
        """
        if not self.instruction_sets or not other.instruction_sets:
            return ()
        return tuple(name for name in other.instruction_sets if name not in self.instruction_sets)

    def _design(self) -> tuple[str | int | None, ...]:
        return self.vendor, self.family, self.model, self.stepping

    @property
    def slug(self) -> str:
        """Short name for files: ``amd-epyc-f25m17``, without family and model where unknown."""
        # Words that vendors add to every name.
        name = re.sub(r"\((r|tm)\)|processor|\bcpu\b|@.*", " ", self.cpu.lower())
        words = re.sub(r"[^a-z0-9]+", "-", name).strip("-") or self.machine
        if self.family is None or self.model is None:
            return words
        return f"{words}-f{self.family}m{self.model}"

    def __str__(self) -> str:
        known = self.family is not None
        design = f"family {self.family}, model {self.model}, " if known else ""
        return f"{self.cpu} ({design}{self.cpus} CPUs, {self.machine})"


def _cpuinfo(path: Path) -> dict[str, str]:
    """Return what Linux says of the first processor; nothing on other systems."""
    if not path.is_file():
        return {}
    # Cores are listed one after another: the first stands for all.
    first = path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text, 0)  # ARM writes 0xd0c
    except ValueError:
        return None


def _clock_mhz(facts: dict[str, str]) -> int | None:
    try:
        return round(int(MAX_CLOCK.read_text(encoding="ascii")) / 1000)  # the file has kHz
    except (OSError, ValueError):
        pass
    try:
        # On x86 twice the ticks of the time stamp counter, which runs at the nominal clock. Not the
        # field "cpu MHz": that is the clock of this moment.
        return round(float(facts["bogomips"]) / 2) if "vendor_id" in facts else None
    except (KeyError, ValueError):
        return None


def _cache_sizes(folder: Path) -> dict[str, Any]:
    sizes: dict[str, Any] = {}
    for index in sorted(folder.glob("index*")):
        try:
            level, kind, size = (
                (index / name).read_text(encoding="ascii").strip()
                for name in ("level", "type", "size")
            )
        except OSError:
            continue
        names = {"1": "l1d_bytes", "2": "l2_bytes", "3": "l3_bytes"}
        # "Data" in the first level, "Unified" above it.
        if kind != "Instruction" and level in names and size[:-1].isdigit():
            sizes[names[level]] = int(size[:-1]) * _UNITS.get(size[-1], 1)
    return sizes
