"""Measure how long networks and blocks take on a device, and keep it as records and tables."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketeye.latency.device import Device as Device
    from pocketeye.latency.protocol import (
        Call as Call,
        Measured as Measured,
        Protocol as Protocol,
        measure_interleaved as measure_interleaved,
    )
    from pocketeye.latency.record import LatencyRecord as LatencyRecord, Timing as Timing

_HELD = {
    "device": ("Device",),
    "protocol": ("Call", "Measured", "Protocol", "measure_interleaved"),
    "record": ("LatencyRecord", "Timing"),
}
_PLACES = {name: place for place, names in _HELD.items() for name in names}


def __getattr__(name: str) -> Any:
    # Who reads a record, as `pocketeye list` does, needs neither numpy nor a runtime.
    if name not in _PLACES:
        raise AttributeError(f"module 'pocketeye.latency' has no attribute {name!r}")
    return getattr(import_module(f"pocketeye.latency.{_PLACES[name]}"), name)
