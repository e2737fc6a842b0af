"""Measure how long networks and blocks take on a device, and keep it as records and tables."""

from pocketeye.latency.device import Device as Device
from pocketeye.latency.protocol import (
    Call as Call,
    Measured as Measured,
    Protocol as Protocol,
    measure_interleaved as measure_interleaved,
)
from pocketeye.latency.record import LatencyRecord as LatencyRecord, Timing as Timing
