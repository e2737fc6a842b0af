"""Report progress of long work to whoever listens.

The library never prints. A long loop opens a :func:`task` and advances it; the command line puts a
listener in place with :func:`reporting`, and without one nothing happens.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Task(Protocol):
    """Describe one bar."""

    def advance(self, amount: float = 1.0) -> None: ...

    def note(self, text: str) -> None:
        """Show a short text beside the bar (a loss, a rate)."""


class Reporter(Protocol):
    """Show tasks."""

    def open(self, description: str, total: float | None) -> Task: ...

    def close(self, task: Task) -> None: ...

    def mark(self, text: str) -> None:
        """Say that a part of the work is done, where no bar shows it."""


class _Silent:
    def advance(self, amount: float = 1.0) -> None:
        return

    def note(self, text: str) -> None:
        return


_reporter: ContextVar[Reporter | None] = ContextVar("pocketeye_progress", default=None)


def say(text: str) -> None:
    """Say a sentence that has to be read before long work begins.

    It is logged as a warning is, so that it appears also where bars do not; ``plain`` tells the command
    line that it is none.
    """
    logging.getLogger("pocketeye").warning(text, extra={"plain": True})


def mark(text: str) -> None:
    """Say that a part of long work is done, such as an epoch: a line in a log, where no bar moves."""
    reporter = _reporter.get()
    if reporter is not None:
        reporter.mark(text)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Send the tasks opened inside the block to ``reporter``."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


def is_reported() -> bool:
    """Tell whether somebody listens."""
    return _reporter.get() is not None


@contextmanager
def task(description: str, total: float | None = None) -> Iterator[Task]:
    """Open a task of ``total`` steps (None: unknown) for the length of the block."""
    reporter = _reporter.get()
    # Nobody listens: long loops cost nothing more.
    if reporter is None:
        yield _Silent()
        return
    opened = reporter.open(description, total)
    try:
        yield opened
    finally:
        reporter.close(opened)
