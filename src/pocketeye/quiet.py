"""Keep the talk of other libraries away from the user: converters and quantisers print and log."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_STDOUT, _STDERR = 1, 2  # file descriptors, as every program has them


@contextmanager
def quiet(*, native: bool = False) -> Iterator[None]:
    """Drop warnings, log lines and prints inside the block; exceptions pass.

    Args:
        native: also what C++ writes past Python, by turning the file descriptors to the null device.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            _null_descriptors() if native else contextlib.nullcontext(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _null_descriptors() -> Iterator[None]:
    for stream in (sys.__stdout__, sys.__stderr__):
        # What Python has buffered must still arrive where it was meant for.
        if stream is not None:
            stream.flush()
    kept = [os.dup(number) for number in (_STDOUT, _STDERR)]
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        for number in (_STDOUT, _STDERR):
            os.dup2(null, number)
        yield
    finally:
        for number, old in zip((_STDOUT, _STDERR), kept, strict=True):
            os.dup2(old, number)
            os.close(old)
        os.close(null)
