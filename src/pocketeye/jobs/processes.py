"""Let processes of this machine work, of one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from pocketeye import progress
from pocketeye.jobs.pool import Crew, Said, Work, Worker
from pocketeye.jobs.serving import ONE_THREAD, Beat, done, made


@dataclass(eq=False, kw_only=True)
class _Process(Worker):
    process: BaseProcess
    connection: Connection


class Processes(Crew[_Process]):
    """Start processes as they are needed.

    Args:
        make: makes the function that does a task, once in each process; it and tasks go through pickle.
    """

    def __init__(self, make: Callable[[], Work], num_workers: int) -> None:
        self._make, self.num_workers = make, num_workers

    def start(self) -> _Process:
        context = multiprocessing.get_context("spawn")  # torch and its threads survive no fork
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, self._make), daemon=True)
        with _one_thread():
            process.start()
        there.close()  # so that the end of the process ends the pipe
        return _Process(process=process, connection=here)

    def give(self, worker: _Process, task: Any) -> None:
        with suppress(OSError):
            worker.connection.send(task)

    def listen(self, workers: list[_Process], timeout_s: float) -> list[Said[_Process]]:
        connections = {worker.connection: worker for worker in workers}
        return [
            _read(connections[ready])  # type: ignore[index]
            for ready in wait(list(connections), timeout=timeout_s)
        ]

    def end(self, worker: _Process) -> None:
        worker.connection.close()
        if worker.process.is_alive():
            worker.process.kill()
        worker.process.join(5)


def _read(worker: _Process) -> Said[_Process]:
    try:
        kind, value = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(5)
        code = worker.process.exitcode
        return Said(worker, "gone", f"its worker ended with exit code {code}")
    return Said(worker, kind, value)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let processes that are started inside compute with one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _serve(connection: Connection, make: Callable[[], Work]) -> None:
    """Do tasks until the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who gives the tasks

    def tell() -> None:
        try:
            connection.send(("alive", None))
        except OSError:
            # Nobody is there any more: what is half done is made again by who goes on.
            os._exit(1)

    with suppress(EOFError, OSError), progress.reporting(Beat(tell)):
        work, why = made(make)
        if work is None:
            connection.send(("broken", why))
            return
        connection.send(("ready", None))
        while True:
            connection.send(done(work, connection.recv()))
