"""Let the workers of a Ray cluster work: actors of one core each, which load the network once.

Whoever gives the tasks owns all state; an actor that dies, or whose machine does, is replaced.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pocketeye import progress
from pocketeye.errors import InvalidValue, MissingExtra
from pocketeye.jobs.pool import Crew, Said, Work, Worker
from pocketeye.jobs.serving import ONE_THREAD, Beat, done, made
from pocketeye.quiet import quiet

logger = logging.getLogger(__name__)

_REACH_S = 5.0
"""Seconds in which the head of a cluster must take a connection; Ray itself tries for a minute."""
_ASK_S = 5.0  # between two questions to an actor whether it still gets on
_SLOW_START_S = 30.0  # after which is said that the cluster has no room, or loads slowly
_QUIET: dict[str, Any] = {
    "configure_logging": False,
    "logging_level": logging.ERROR,
    "log_to_driver": False,
}


class _Server:
    """Live in an actor: one thread does tasks, another one tells that it gets on."""

    def __init__(self) -> None:
        self._work: Work | None = None
        self._heard = time.monotonic()

    def start(self, make: bytes) -> tuple[str, Any]:
        # Before what computes is loaded, which unpickling does. It comes from who gives the tasks.
        os.environ.update(ONE_THREAD)
        with progress.reporting(Beat(self._tell)):
            self._work, why = made(pickle.loads(make))
        return ("ready", None) if self._work is not None else ("broken", why)

    def do(self, task: Any) -> tuple[str, Any]:
        assert self._work is not None  # tasks are given to those who are ready
        self._tell()
        with progress.reporting(Beat(self._tell)):
            return done(self._work, task)

    def quiet_s(self) -> float:
        """Return seconds since the last frame."""
        return time.monotonic() - self._heard

    def _tell(self) -> None:
        self._heard = time.monotonic()


@dataclass(eq=False, kw_only=True)
class _Actor(Worker):
    handle: Any
    answer: Any  # of what it does now
    asked: Any = None  # whether it gets on, while that is not answered
    began: float = field(default_factory=time.monotonic)
    next_ask: float = 0.0


class Cluster(Crew[_Actor]):
    """Connect to a Ray cluster; where this process is connected to one already, that one is taken.

    Args:
        make: makes the function that does a task, once in each actor; it and tasks go through pickle.
        address: ``auto`` for the cluster that this machine belongs to (or of ``$RAY_ADDRESS``),
            ``HOST:PORT`` or ``ray://HOST:PORT``.
        num_workers: actors; None: one for each core of the cluster.
        num_gpus: that each actor has for itself.

    Raises:
        MissingExtra: Ray is not installed.
        InvalidValue: no cluster is there, or it has no core or no accelerator.
    """

    def __init__(
        self,
        make: Callable[[], Work],
        address: str,
        num_workers: int | None = None,
        *,
        num_gpus: float = 0,
    ) -> None:
        if find_spec("ray") is None:
            raise MissingExtra("--cluster", "ray", "ray")
        self._ours = _connect(address)
        import ray
        from ray import cloudpickle

        self._address, self._num_gpus = address, num_gpus
        # Pickled here once: actors must set their environment before they load what is inside.
        self._make = ray.put(cloudpickle.dumps(make))
        remote: Any = ray.remote  # its types know decorators alone
        self._class = remote(num_cpus=1, num_gpus=num_gpus, max_concurrency=2)(_Server)
        has = ray.cluster_resources()
        self._require(has)
        cores = int(has["GPU"] / num_gpus) if num_gpus else int(has["CPU"])
        self.num_workers = cores if num_workers is None else num_workers
        self._warned = False

    def _require(self, has: dict[str, float]) -> None:
        for name, needed in (("CPU", 1), ("GPU", self._num_gpus)):
            if needed and has.get(name, 0) < needed:
                self.close()
                raise InvalidValue(
                    f"the cluster at {self._address} has {has.get(name, 0):g} {name}, and a worker "
                    f"needs {needed:g}: add machines, or choose another --device"
                )

    def start(self) -> _Actor:
        handle = self._class.remote()
        return _Actor(handle=handle, answer=handle.start.remote(self._make))

    def give(self, worker: _Actor, task: Any) -> None:
        worker.answer, worker.asked = worker.handle.do.remote(task), None
        worker.next_ask = time.monotonic() + _ASK_S

    def listen(self, workers: list[_Actor], timeout_s: float) -> list[Said[_Actor]]:
        import ray

        active = [worker for worker in workers if worker.busy or not worker.ready]
        self._ask(active)
        by_ref = {worker.answer: worker for worker in active}
        by_ref |= {worker.asked: worker for worker in active if worker.asked is not None}
        refs = list(by_ref)
        # The first one ends the wait; whatever else is there then is taken along.
        if not ray.wait(refs, num_returns=1, timeout=timeout_s)[0]:
            return []
        there = ray.wait(refs, num_returns=len(refs), timeout=0)[0]
        said = [self._read(by_ref[ref], ref) for ref in there]
        return [each for each in said if each is not None]

    def _ask(self, workers: Iterable[_Actor]) -> None:
        now = time.monotonic()
        for worker in workers:
            if worker.busy and worker.asked is None and now >= worker.next_ask:
                worker.asked, worker.next_ask = worker.handle.quiet_s.remote(), now + _ASK_S
            if not worker.ready and now - worker.began > _SLOW_START_S and not self._warned:
                self._warned = True
                logger.warning("a worker is not ready after %g s: %s", _SLOW_START_S, self._room())

    def _room(self) -> str:
        import ray

        free = ray.available_resources().get("CPU", 0)
        return (
            f"{free:g} of {ray.cluster_resources().get('CPU', 0):g} cores of the cluster are free"
        )

    def _read(self, worker: _Actor, ref: Any) -> Said[_Actor] | None:
        import ray
        from ray.exceptions import RayError

        try:
            value = ray.get(ref)
        except RayError as error:
            if ref == worker.asked:
                worker.asked = None
                return None  # the answer of what it does tells the same
            return Said(worker, "gone", _why(error))
        if ref != worker.asked:  # equal, not the same: a client of Ray makes new ones
            return Said(worker, *value)
        worker.asked = None
        # Silence counts from its last frame, not from this answer.
        worker.heard = max(worker.heard, time.monotonic() - value)
        return None

    def end(self, worker: _Actor) -> None:
        import ray

        ray.kill(worker.handle)

    def close(self) -> None:
        """Leave the cluster, if it was joined here."""
        if self._ours:
            self._ours = False
            sys.modules["ray"].shutdown()


def _why(error: Exception) -> str:
    """Return Ray's report of a dead actor in few words: it has a page of them."""
    said = " ".join(str(error).split())
    if "running low on memory" in said:
        return "its worker was ended, as its machine ran out of memory"
    if "node" in said.lower() and "died" in said.lower() and "worker process" not in said:
        return "the machine of its worker is gone"
    if type(error).__name__ == "RayTaskError" or "Error:" in said:
        return f"its worker failed: {said[-200:]}"
    return "its worker died"


def _connect(address: str) -> bool:
    """Join a cluster; returns False where this process has joined one already.

    Raises:
        InvalidValue: there is none.
    """
    import ray

    if ray.is_initialized():
        return False
    known = _usual_address() if address == "auto" else address
    if known is not None:
        _require_reachable(known)
    try:
        # Ray's core tells of every attempt to connect.
        with quiet(native=True):
            ray.init(address=address, **_QUIET)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        if known is None:
            raise InvalidValue(
                "there is no Ray cluster on this machine: start one with 'ray start --head', name "
                "one with --cluster HOST:PORT, or leave --cluster out"
            ) from error
        said = " ".join(str(error).split())
        raise InvalidValue(
            f"cannot join the cluster at {known}: {said:.200}; where it asks for a token, set "
            "RAY_AUTH_MODE=token and have that of its head in ~/.ray/auth_token"
        ) from error
    return True


def _usual_address() -> str | None:
    """Return what Ray takes for ``auto``: it may be of a cluster that has ended meanwhile."""
    if address := os.environ.get("RAY_ADDRESS"):
        return address
    note = Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray" / "ray_current_cluster"
    with suppress(OSError):
        return note.read_text("utf-8").strip() or None
    return None


def _require_reachable(address: str) -> None:
    """Ask the head of a cluster for a connection.

    Raises:
        InvalidValue: no address, or nobody answers there.
    """
    try:
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise InvalidValue(
            f"--cluster is auto, HOST:PORT (of the head, 6379 by default) or ray://HOST:PORT, got "
            f"{address!r}"
        )
    try:
        socket.create_connection((host, port), timeout=_REACH_S).close()
    except OSError as error:
        raise InvalidValue(
            f"there is no Ray cluster at {address} ({error.strerror or error}): start its head with "
            f"'ray start --head --port {port}', or name another address"
        ) from error
