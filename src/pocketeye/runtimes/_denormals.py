"""Let a thread take denormal numbers as zero, or not, without torch where the C library can do it."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np

_FTZ_DAZ = 0x8040  # of MXCSR: results and operands, as torch sets them (Intel SDM 1, 10.2.3)
_ENVIRONMENT_BYTES, _MXCSR_AT = 32, 28  # of glibc's fenv_t on x86-64


def flushes_denormals() -> bool:
    """Tell whether this thread takes denormal numbers as zero."""
    # Asked by an example: numpy's arithmetic obeys the processor's flag, whoever set it.
    return float(np.float32(1e-40) * np.float32(1.0)) == 0.0


def flush_denormals(as_zero: bool) -> None:
    """Take denormal numbers as zero on this thread from now on, or no longer."""
    libm = None if "torch" in sys.modules else _libm()
    if libm is None:
        import torch

        # Much faster than the C library through ctypes, and calls that are timed come by here.
        torch.set_flush_denormal(as_zero)
        return
    environment = ctypes.create_string_buffer(_ENVIRONMENT_BYTES)
    libm.fegetenv(environment)
    mxcsr = ctypes.c_uint32.from_buffer(environment, _MXCSR_AT)
    mxcsr.value = mxcsr.value | _FTZ_DAZ if as_zero else mxcsr.value & ~_FTZ_DAZ
    libm.fesetenv(environment)


@contextmanager
def denormals(*, as_zero: bool | None) -> Iterator[None]:
    """Treat denormals so on this thread for the length of the block (None: leave them alone).

    The old treatment comes back in any case, also where the block itself changes it.
    """
    before = flushes_denormals()
    if as_zero is not None:
        flush_denormals(as_zero)
    try:
        yield
    finally:
        flush_denormals(before)


@cache
def _libm() -> ctypes.PyDLL | None:
    """Return the C library that holds the processor's flags; None where its layout is not known."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    try:
        # PyDLL keeps the interpreter's lock: giving it up would cost more than the call.
        return ctypes.PyDLL("libm.so.6")
    except OSError:  # musl, whose fenv_t is another
        return None
