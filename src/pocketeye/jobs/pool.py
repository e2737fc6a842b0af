"""Share work among processes that each load what they need once; one that dies takes nothing along."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Literal, NamedTuple

from pocketeye import progress
from pocketeye.errors import InvalidValue, UserError

Work = Callable[[Any], Any]
PATIENCE_S = 600.0
"""Seconds without a frame after which a worker is given up: storage that never answers holds it."""
_MOST_STARTS = 3  # of a worker that ends before it is ready: more would end the same way
_BEAT_S = 1.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Outcome(NamedTuple):
    """Hold what became of a task: its value, or a sentence."""

    task: Any
    kind: Literal["done", "failed", "full", "lost"]
    value: Any


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    connection: Connection
    task: Any = None
    busy: bool = False
    ready: bool = False
    heard: float = field(default_factory=time.monotonic)


def work_through(
    take: Callable[[], Any],
    make: Callable[[], Work],
    num_workers: int,
    *,
    patience_s: float = PATIENCE_S,
) -> Iterator[Outcome]:
    """Yield what became of each task, as they end.

    Args:
        take: returns the next task, or None where there is none now; it is asked again after each
            outcome was looked at, so a task that failed may come back.
        make: makes the function that does a task, once in each process; both go through pickle.
        num_workers: processes, of one thread each.
        patience_s: seconds without a sign of life after which a process is ended and its task lost.

    Raises:
        InvalidValue: what the processes need cannot be made.
    """
    workers: list[_Worker] = []
    starts = 0
    try:
        while True:
            task = None
            for worker in workers:
                if not worker.busy and (task := take()) is not None:
                    _give(worker, task)
            idle = any(not worker.busy for worker in workers)
            while len(workers) < num_workers and not idle and (task := take()) is not None:
                workers.append(_started(make))
                starts += 1
                _give(workers[-1], task)
            busy = [worker for worker in workers if worker.busy]
            if not busy:
                return
            for worker in _heard(busy):
                outcome = _outcome(worker)
                starts = 0 if worker.ready else starts
                if outcome is None:
                    continue
                if outcome.kind == "lost":
                    workers.remove(worker)
                    _end(worker)
                    if starts >= max(_MOST_STARTS, num_workers):
                        raise InvalidValue(f"no worker can be started: {outcome.value}")
                worker.busy = False
                yield outcome
            now = time.monotonic()
            for worker in [w for w in workers if w.busy and now - w.heard > patience_s]:
                workers.remove(worker)
                _end(worker)
                yield Outcome(
                    worker.task, "lost", f"nothing came for {patience_s:g} s, and it was given up"
                )
    finally:
        for worker in workers:
            _end(worker)


def _heard(busy: list[_Worker]) -> list[_Worker]:
    connections = {worker.connection: worker for worker in busy}
    return [connections[ready] for ready in wait(list(connections), timeout=_BEAT_S)]  # type: ignore[index]


def _outcome(worker: _Worker) -> Outcome | None:
    """Return what a worker says of its task; None for a mere sign of life."""
    try:
        kind, value = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        code = worker.process.exitcode
        return Outcome(worker.task, "lost", f"its worker ended with exit code {code}")
    worker.heard = time.monotonic()
    if kind == "ready":
        worker.ready = True
    if kind == "broken":
        raise InvalidValue(str(value))
    return Outcome(worker.task, kind, value) if kind in ("done", "failed", "full") else None


def _give(worker: _Worker, task: Any) -> None:
    worker.task, worker.busy, worker.heard = task, True, time.monotonic()
    # One that is gone is seen when its answer is read.
    with suppress(OSError):
        worker.connection.send(task)


def _started(make: Callable[[], Work]) -> _Worker:
    context = multiprocessing.get_context("spawn")  # torch and its threads do not survive a fork
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, make), daemon=True)
    with _one_thread():
        process.start()
    there.close()  # so that the end of the process ends the pipe
    return _Worker(process, here)


def _end(worker: _Worker) -> None:
    worker.connection.close()
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join(5)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that are started inside compute with one thread: libraries look when they load."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


class _Beat:
    """Tell the other side with each frame, at most once a second, that work goes on."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._last = connection, 0.0

    def open(self, description: str, total: float | None) -> _Beat:
        self.advance()
        return self

    def close(self, task: progress.Task) -> None:
        self.advance()

    def note(self, text: str) -> None:
        return

    def mark(self, text: str) -> None:
        self.advance()

    def advance(self, amount: float = 1.0) -> None:
        now = time.monotonic()
        if now - self._last < _BEAT_S:
            return
        self._last = now
        try:
            self._connection.send(("alive", None))
        except OSError:
            # Nobody is there any more: what is half done is made again by who goes on.
            os._exit(1)


def _serve(connection: Connection, make: Callable[[], Work]) -> None:
    """Do tasks until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the tasks
    with suppress(EOFError, OSError), progress.reporting(_Beat(connection)):
        try:
            work = make()
        except (UserError, OSError, ImportError) as error:
            connection.send(("broken", f"{error or type(error).__name__}"))
            return
        connection.send(("ready", None))
        while True:
            connection.send(_done(work, connection.recv()))


def _done(work: Work, task: Any) -> tuple[str, Any]:
    try:
        return "done", work(task)
    except (UserError, OSError, MemoryError, ValueError, RuntimeError) as error:
        kind = "full" if _is_full(error) else "failed"
        return kind, f"{error or type(error).__name__}"


def _is_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return False
