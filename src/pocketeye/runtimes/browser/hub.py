"""Give jobs to a page and wait for its answers, also when it goes away and comes back.

The side that measures calls :meth:`Hub.ask` and waits; the side that serves calls the others,
each from a thread of the server.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye import progress
from pocketeye.errors import InvalidValue, UserError
from pocketeye.reading import BadField
from pocketeye.runtimes.base import Artifact
from pocketeye.runtimes.browser.messages import Facts, Job, specs_text

GONE_SECONDS = 15.0  # pages call every 3 s, also while they measure
PATIENCE_SECONDS = 600.0  # for a device to come, or to come back
POLL_SECONDS = 10.0  # one question for work stays open so long
MAX_DEVICES = 8
_MOST_REFUSALS = 3
# Values do not change a latency: longer inputs repeat these, which saves the phone's network.
_MOST_VALUES = 2**14


@dataclass(slots=True)
class Page:
    """Hold one open page."""

    facts: Facts
    seen: float


@dataclass(slots=True)
class _Graph:
    path: Path
    description: dict[str, Any]
    values: bytes


@dataclass(slots=True)
class _Asked:
    """Hold the job that is asked for now, and what came of it."""

    job: Job
    given_to: str | None = None
    given_at: float = 0.0
    answer: Any = None
    error: str | None = None
    answered: bool = False
    refusals: list[str] = field(default_factory=list)


class Hub:
    """Stand between the measuring thread and the pages."""

    def __init__(self, patience_s: float = PATIENCE_SECONDS, *, wanted: str = "") -> None:
        """Wait for a device.

        Args:
            patience_s: for it to come, or to come back.
            wanted: the name that a user gave it on its page; empty takes the first that comes.
        """
        self.patience_s, self.wanted = patience_s, wanted
        self.url = ""  # told to the user while nobody is there
        self.epoch = secrets.token_hex(8)  # pages drop the graphs of another process
        self._changed = threading.Condition()
        self._pages: dict[str, Page] = {}
        self._chosen: str | None = None
        self._facts: Facts | None = None
        self._graphs: dict[int, _Graph] = {}
        self._asked: _Asked | None = None
        self._jobs = 0

    # The measuring side.

    def device(self) -> Facts:
        """Return the facts of the device that measures; waits for the first one to come.

        Raises:
            UserError: none came.
        """
        with self._changed:
            if self._facts is None:
                self._wait_for(lambda: self._chosen is not None, self._invitation())
            assert self._facts is not None
            return self._facts

    def add(self, artifact: Artifact) -> int:
        """Keep a graph for pages to fetch, and return its number."""
        with self._changed:
            number = len(self._graphs)
            self._graphs[number] = _Graph(
                artifact.path,
                {
                    "graph": number,
                    "bytes": artifact.path.stat().st_size,
                    "inputs": specs_text(artifact.inputs),
                },
                b"",
            )
            return number

    def set_inputs(self, number: int, arrays: tuple[np.ndarray, ...]) -> None:
        """Keep the inputs on which a graph is timed."""
        parts = [np.ascontiguousarray(array).reshape(-1)[:_MOST_VALUES] for array in arrays]
        with self._changed:
            graph = self._graphs[number]
            graph.values = b"".join(part.tobytes() for part in parts)
            for spec, part in zip(graph.description["inputs"], parts, strict=True):
                spec["values"] = int(part.size)

    def drop(self, number: int) -> None:
        """Forget a graph; pages are told with the next job."""
        with self._changed:
            self._graphs.pop(number, None)

    def next_job(self) -> int:
        """Return a number that no job had before."""
        self._jobs += 1
        return self._jobs

    def ask(self, job: Job) -> Any:
        """Return the answer to a job.

        Raises:
            UserError: the page went away and did not come back.
            InvalidValue: the device cannot do it, or answered what cannot be true.
        """
        self.device()
        with self._changed:
            asked = self._asked = _Asked(job)
            self._changed.notify_all()
            try:
                while not asked.answered:
                    self._wait_for(
                        lambda: asked.answered or not self._is_there(), None, patience_s=None
                    )
                    if not asked.answered:
                        self._wait_for(self._is_there, f"the page is gone: open {self.url} again")
            finally:
                self._asked = None
        if asked.error is not None:
            raise InvalidValue(asked.error)
        return asked.answer

    def _wait_for(self, happened: Any, note: str | None, patience_s: float | None = -1.0) -> None:
        """Wait, holding the lock between looks; ``patience_s`` None is for ever, -1 that of the hub."""
        patience = self.patience_s if patience_s == -1.0 else patience_s
        until = None if patience is None else time.monotonic() + patience
        if happened():
            return
        if note:
            progress.say(note)
        while not happened():
            # Short: Ctrl-C is seen between two waits, and a page that is gone says nothing.
            self._changed.wait(0.25)
            if until is not None and time.monotonic() > until:
                raise UserError(
                    f"no browser came to {self.url} within {patience:.0f} s; what was measured is "
                    "kept, and the same command continues there"
                )

    def _invitation(self) -> str:
        called = f", and call it {self.wanted!r} there" if self.wanted else ""
        return f"open {self.url} on the device to measure{called}; this waits for it"

    def _is_there(self) -> bool:
        if self._chosen is None or self._chosen not in self._pages:
            return False
        return time.monotonic() - self._pages[self._chosen].seen < GONE_SECONDS

    # The serving side.

    def hello(self, data: Any) -> str:
        """Let a page in, and return the secret it names itself by from now on.

        Raises:
            BadField: it tells nonsense, or another device is measured already.
        """
        facts = Facts.of(data)
        with self._changed:
            self._forget_gone()
            if len(self._pages) >= MAX_DEVICES:
                raise BadField(f"{MAX_DEVICES} pages are open already")
            key = secrets.token_urlsafe(16)
            self._pages[key] = Page(facts, time.monotonic())
            if not self._is_there() and self._fits(facts):
                self._chosen = key
                self._facts = self._facts or facts
                self._changed.notify_all()
            return key

    def alive(self, key: str) -> dict[str, Any]:
        """Note that a page is there, and tell it whether it is the one that measures.

        Raises:
            BadField: no such page.
        """
        with self._changed:
            page = self._page(key)
            page.seen = time.monotonic()
            # Another tab may take over where the first one was closed.
            if not self._is_there() and self._fits(page.facts):
                self._chosen = key
                self._facts = self._facts or page.facts
                self._changed.notify_all()
            return {
                "measures": key == self._chosen,
                "wanted": self._wanted(),
            }

    def work(self, key: str, wait_s: float = POLL_SECONDS) -> dict[str, Any] | None:
        """Return the next job of a page, None where there was none for a while.

        Raises:
            BadField: no such page.
        """
        until = time.monotonic() + wait_s
        with self._changed:
            while True:
                page = self._page(key)
                page.seen = time.monotonic()
                asked = self._asked
                if asked and not asked.answered and key == self._chosen:
                    asked.given_to, asked.given_at = key, time.monotonic()
                    graphs = {n: graph.description for n, graph in self._graphs.items()}
                    return {**asked.job.message(graphs), "epoch": self.epoch}
                left = until - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(min(left, 1.0))

    def result(self, key: str, data: Any) -> None:
        """Take the answer to a job.

        Raises:
            BadField: it is not the answer to the job that this page was given, or cannot be true.
        """
        with self._changed:
            self._page(key).seen = time.monotonic()
            asked = self._asked
            if asked is None or asked.answered:
                raise BadField("nothing is asked for now")
            if not isinstance(data, dict) or data.get("job") != asked.job.number:
                raise BadField("it answers another job than the one that is asked for")
            if asked.given_to != key:
                raise BadField("the job was given to another page")
            if isinstance(data.get("error"), str):
                asked.error = self._cannot(asked.job, data["error"])
                asked.answered = True
            else:
                elapsed_ms = 1e3 * (time.monotonic() - asked.given_at)
                try:
                    asked.answer = asked.job.read(data, elapsed_ms)
                    asked.answered = True
                except BadField as error:
                    self._refuse(asked, error)
                    raise
                finally:
                    self._changed.notify_all()
            self._changed.notify_all()

    def graph_file(self, number: int) -> Path:
        """Return the file of a graph.

        Raises:
            KeyError: no such graph.
        """
        with self._changed:
            return self._graphs[number].path

    def graph_values(self, number: int) -> bytes:
        """Return the bytes of the inputs of a graph.

        Raises:
            KeyError: no such graph.
        """
        with self._changed:
            return self._graphs[number].values

    def _refuse(self, asked: _Asked, error: BadField) -> None:
        asked.refusals.append(str(error))
        if len(asked.refusals) >= _MOST_REFUSALS:
            assert self._facts is not None
            asked.error = (
                f"the browser {describe(self._facts)} sent {len(asked.refusals)} answers that were "
                f"refused, the last because {error}"
            )
            asked.answered = True

    def _cannot(self, job: Job, reason: str) -> str:
        assert self._facts is not None
        clean = replace(self._facts, name=" ".join(reason.split())[:200]).name
        sizes = [self._graphs[n].description["bytes"] for n in job.graphs if n in self._graphs]
        return (
            f"the browser {describe(self._facts)} could not do what was asked "
            f"({len(sizes)} graphs, {sum(sizes) / 1e6:.1f} MB, {job.backend}): {clean}"
        )

    def _page(self, key: str) -> Page:
        if key not in self._pages:
            raise BadField("this page is not known here: load it again")
        return self._pages[key]

    def _wanted(self) -> str | None:
        """Name the device that is measured, or waited for; None where any will do."""
        if self._facts is not None:
            return describe(self._facts)
        return f"the device called {self.wanted!r}" if self.wanted else None

    def _fits(self, facts: Facts) -> bool:
        if self.wanted and facts.name.casefold() != self.wanted.casefold():
            return False
        return self._facts is None or _same(facts, self._facts)

    def _forget_gone(self) -> None:
        now = time.monotonic()
        self._pages = {k: p for k, p in self._pages.items() if now - p.seen < 4 * GONE_SECONDS}


def _same(one: Facts, other: Facts) -> bool:
    """Tell whether two pages are of one browser on one device; the clock's step wavers."""
    # Two phones of one make differ by the name that their user gave them.
    keys = [(f.name, f.browser, f.system, f.cores, f.isolated) for f in (one, other)]
    return keys[0] == keys[1]


def describe(facts: Facts) -> str:
    """Name a device in words: ``Chromium 156 on Linux x86_64, 8 cores``."""
    called = f"{facts.name}: " if facts.name else ""
    return f"{called}{facts.browser} on {facts.system or 'an unknown system'}, {facts.cores} cores"
