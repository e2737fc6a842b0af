"""Share work among workers that each load what they need once; one that dies takes nothing along.

Where workers run is the matter of a :class:`Crew`: processes of this machine, or of a cluster.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from pocketeye.closing import Closing
from pocketeye.errors import InvalidValue

Work = Callable[[Any], Any]
PATIENCE_S = 600.0
"""Seconds without a frame after which a worker is given up: storage that never answers holds it."""
_MOST_STARTS = 3  # of a worker that ends before it is ready: more would end the same way
_START_S = 120.0  # in which a worker loads what it needs, also where frames come quicker
_LISTEN_S = 1.0

Kind = Literal["ready", "broken", "alive", "done", "failed", "full", "gone"]


class Outcome(NamedTuple):
    """Hold what became of a task: its value, or a sentence."""

    task: Any
    kind: Literal["done", "failed", "full", "lost"]
    value: Any


@dataclass(eq=False)
class Worker:
    """Hold what is known of a worker; a crew adds how it is reached.

    Attributes:
        task: that it does, if ``busy``.
        ready: it has loaded what it needs, and takes tasks.
        heard: when it last gave a sign of life, by :func:`time.monotonic`.
    """

    task: Any = None
    busy: bool = False
    ready: bool = False
    heard: float = field(default_factory=time.monotonic)


W = TypeVar("W", bound=Worker)


class Said(NamedTuple, Generic[W]):
    """Hold what a worker said: of a task that is ``done`` its value, else a sentence or None."""

    worker: W
    kind: Kind
    value: Any


class Crew(Closing, ABC, Generic[W]):
    """Start workers, give them tasks and listen to them.

    Attributes:
        num_workers: of the crew when all are started.
    """

    num_workers: int

    @abstractmethod
    def start(self) -> W:
        """Start a worker; it says ``ready`` or ``broken`` when it has loaded what it needs."""

    @abstractmethod
    def give(self, worker: W, task: Any) -> None:
        """Let a worker that is ready do a task; of one that is gone :meth:`listen` tells."""

    @abstractmethod
    def listen(self, workers: list[W], timeout_s: float) -> list[Said[W]]:
        """Return what workers said, as soon as one says something or the time is over."""

    @abstractmethod
    def end(self, worker: W) -> None:
        """End a worker at once, whatever it does."""


class _Shift(Generic[W]):
    """Hold the workers of a crew while work goes on."""

    def __init__(self, crew: Crew[W], take: Callable[[], Any]) -> None:
        self.crew, self._take = crew, take
        self.workers: list[W] = []
        # Tasks that wait for a worker that is being started, at most one for each of them.
        self.held: deque[Any] = deque()
        self.starts = 0

    @property
    def busy(self) -> bool:
        return bool(self.held) or any(worker.busy for worker in self.workers)

    def share(self) -> None:
        """Give tasks to those who are ready, and start as many workers as there are tasks for."""
        for worker in self.workers:
            if worker.ready and not worker.busy:
                task = self.held.popleft() if self.held else self._take()
                if task is not None:
                    worker.task, worker.busy, worker.heard = task, True, time.monotonic()
                    self.crew.give(worker, task)
        while len(self.workers) < self.crew.num_workers:
            starting = sum(not worker.ready for worker in self.workers)
            if starting >= len(self.held):
                if (task := self._take()) is None:
                    return
                self.held.append(task)
            self.workers.append(self.crew.start())
            self.starts += 1

    def hear(self, worker: W, kind: Kind, value: Any) -> Outcome | None:
        """Take in what a worker said; returns what became of a task, if it said that."""
        if worker not in self.workers:
            return None  # it was ended, and said something before
        worker.heard = time.monotonic()
        if kind == "broken":
            raise InvalidValue(str(value))
        if kind == "ready":
            worker.ready = True
        if kind == "ready" or kind == "alive":  # apart, so that mypy knows what is left
            return None
        if kind == "gone":
            return self.dismiss(worker, str(value))
        self.starts, worker.busy = 0, False
        return Outcome(worker.task, kind, value)

    def dismiss(self, worker: W, why: str) -> Outcome | None:
        """End a worker; what it did is lost.

        Raises:
            InvalidValue: it never was ready, as others before it.
        """
        self.workers.remove(worker)
        self.crew.end(worker)
        if not worker.ready and self.starts >= max(_MOST_STARTS, self.crew.num_workers):
            raise InvalidValue(f"no worker can be started: {why}")
        return Outcome(worker.task, "lost", why) if worker.busy else None


def work_through(
    take: Callable[[], Any], crew: Crew[W], *, patience_s: float = PATIENCE_S
) -> Iterator[Outcome]:
    """Yield what became of each task, as they end.

    Each worker has one task at a time, and the next one is taken when it is done.

    Args:
        take: returns the next task, or None where there is none now; it is asked again after each
            outcome was looked at, so a task that failed may come back.
        crew: does the tasks.
        patience_s: seconds without a sign of life after which a worker is ended and its task lost.

    Raises:
        InvalidValue: what the workers need cannot be made.
    """
    shift = _Shift(crew, take)
    try:
        while True:
            shift.share()
            if not shift.busy:
                return
            for worker, kind, value in crew.listen(shift.workers, _LISTEN_S):
                if (outcome := shift.hear(worker, kind, value)) is not None:
                    yield outcome
            now = time.monotonic()
            for worker in [*shift.workers]:
                waits = worker.busy or not worker.ready
                most_s = patience_s if worker.ready else max(patience_s, _START_S)
                if waits and now - worker.heard > most_s:
                    why = f"nothing came for {most_s:g} s, and it was given up"
                    if (outcome := shift.dismiss(worker, why)) is not None:
                        yield outcome
    finally:
        for worker in shift.workers:
            crew.end(worker)
