"""Standard output and error in whatever state the caller left them: closed, full, or without Unicode."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class OutputError(OSError):
    """Report that the result could not be written to standard output."""


def mend_streams() -> None:
    """Make standard streams that can be written to.

    What is closed becomes the null device: otherwise the next file that is opened takes its number, and
    would be written into. Characters that a stream has no code for become question marks, or the
    escapes of Python.
    """
    # 0, 1 and 2 in order: each open takes the lowest free number.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            null = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - stays open
            setattr(sys, name, null)
        elif isinstance(stream, io.TextIOWrapper):
            # Of Unicode only names of files that are none, which Python has as lone surrogates, have
            # no code; written like this JSON can be read back.
            stream.reconfigure(errors="backslashreplace" if is_unicode(stream) else "replace")


def is_unicode(stream: TextIO) -> bool:
    """Tell whether a stream has a code for every character."""
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


@contextlib.contextmanager
def output() -> Iterator[None]:
    """Write to standard output inside the block; what goes wrong then is the output's fault.

    Raises:
        BrokenPipeError: its reader went away.
        OutputError: it cannot be written to.
    """
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, OutputError):
        raise
    except OSError as error:
        give_up(sys.stdout)
        reason = error.strerror or str(error)
        raise OutputError(error.errno or errno.EIO, f"cannot write to standard output: {reason}")  # noqa: B904 - a sentence of its own


def say(text: str) -> None:
    """Write a line to standard error, if anybody can read it."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Turn a stream to the null device: what is left in it must not fail again when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
