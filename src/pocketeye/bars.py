"""Show bars on stderr for the tasks of :mod:`pocketeye.progress`: rate, remaining time, a note."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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

    def close(self, task: Task) -> None:
        assert isinstance(task, _Bar)
        self._progress.remove_task(task.task_id)
        if not self._progress.tasks:
            self._progress.stop()


@contextmanager
def notebook_bars() -> Iterator[None]:
    """Show bars inside the block, in a notebook and where nobody else shows them."""
    console = Console()
    if console.is_jupyter and not is_reported():
        with reporting(RichReporter(console)):
            yield
    else:
        yield
