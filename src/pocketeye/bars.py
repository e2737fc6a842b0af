"""Show the tasks of :mod:`pocketeye.progress` on stderr: bars on a terminal, lines in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task as RichTask,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pocketeye.progress import Task, is_reported, reporting
from pocketeye.text import human_seconds, visible

_FIRST_LINE_S, _NEXT_LINE_S = 15.0, 60.0
"""Seconds of work before the first line in a log (short commands stay silent), and between two."""


class RateColumn(ProgressColumn):
    """Show steps per second, or seconds per step where a step is long."""

    def render(self, task: RichTask) -> Text:
        # A task that has just begun has no speed yet.
        speed = task.speed or task.finished_speed
        if not speed:
            return Text("", style="progress.data.speed")
        text = f"{speed:.1f} it/s" if speed >= 1 else f"{1 / speed:.1f} s/it"
        return Text(text, style="progress.data.speed")


class _Bar:
    def __init__(self, progress: Progress, task_id: TaskID) -> None:
        self.progress, self.task_id = progress, task_id

    def advance(self, amount: float = 1.0) -> None:
        self.progress.advance(self.task_id, amount)

    def note(self, text: str) -> None:
        self.progress.update(self.task_id, note=text)


class RichReporter:
    """Show open tasks as bars; a finished one disappears, so that only results stay on screen."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            RateColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
            transient=True,  # results only stay on screen
            redirect_stdout=False,  # stdout is the verb's
        )

    def open(self, description: str, total: float | None) -> Task:
        # Started with the first task: a live display holds the terminal.
        if not self._progress.tasks:
            self._progress.start()
        return _Bar(self._progress, self._progress.add_task(description, total=total, note=""))

    def mark(self, text: str) -> None:
        """Do nothing: the bar has moved."""

    def close(self, task: Task) -> None:
        assert isinstance(task, _Bar)
        self._progress.remove_task(task.task_id)
        if not self._progress.tasks:
            self._progress.stop()


class _Lines:
    def __init__(self, reporter: LineReporter, description: str, total: float | None) -> None:
        self.reporter, self.description, self.total = reporter, description, total
        self.began, self.done, self.text = time.monotonic(), 0.0, ""

    def advance(self, amount: float = 1.0) -> None:
        self.done += amount
        if self.reporter.is_due():
            self.reporter.mark(self.line())

    def note(self, text: str) -> None:
        self.text = text

    def line(self) -> str:
        """Return how far it is: ``training: 120 of 600 (20 %) · 2 min 00 s, about 8 min 00 s left``."""
        spent = time.monotonic() - self.began
        far, left = f"{self.done:g}", ""
        if self.total:
            far = f"{self.done:g} of {self.total:g} ({100 * self.done / self.total:.0f} %)"
            rest = spent * (self.total - self.done) / max(self.done, 1e-9)
            left = f", about {human_seconds(max(rest, 0.0))} left"
        parts = (f"{self.description}: {far}", self.text, f"{human_seconds(spent)}{left}")
        return " · ".join(filter(None, parts))


class LineReporter:
    """Write how far long work is where no bar can move: in the log of a job, in a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next = time.monotonic() + _FIRST_LINE_S

    def is_due(self) -> bool:
        """Tell whether nothing was said for long."""
        return time.monotonic() >= self._next

    def mark(self, text: str) -> None:
        self._next = time.monotonic() + _NEXT_LINE_S
        # A full disk under the log must not end the work that it tells of.
        with suppress(OSError):
            self._console.print(visible(text), markup=False, highlight=False, soft_wrap=True)

    def open(self, description: str, total: float | None) -> Task:
        return _Lines(self, description, total)

    def close(self, task: Task) -> None:
        """Do nothing: a line stays."""


@contextmanager
def notebook_bars() -> Iterator[None]:
    """Show bars inside the block, in a notebook and where nobody else shows them."""
    console = Console()
    if console.is_jupyter and not is_reported():
        with reporting(RichReporter(console)):
            yield
    else:
        yield
