"""Collect what is wrong with a data set, while it is opened and while any process reads it.

A set is frozen; what turns out to be wrong with it is not known before its samples are read. So each
set has a :class:`Problems` beside its data. Loader processes have copies of it, and what a copy notes
would be lost with its process. There it is posted instead, travels with the next batch, and is
delivered to the original (see :class:`pocketeye.data.loaders.loader.SetLoader`).
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from pocketeye.errors import InvalidValue

logger = logging.getLogger(__name__)

MOST = 100
"""Sentences kept of one kind: enough to see what is wrong; a broken disk would make millions."""


class Note(NamedTuple):
    """Carry a problem from a loader process to the collector of the name ``key``."""

    key: str
    name: str
    why: str


class Problems:
    """Collect sentences about samples; of a kind that comes often the first are kept, all are counted.

    Args:
        source: the set as the user named it, for the log.
        opened: sentences that are known already, from when the set was opened.
        most: sentences that are kept of one kind.
    """

    def __init__(self, source: str = "", opened: Iterable[str] = (), most: int = MOST) -> None:
        self.source, self.opened, self.most = source, tuple(opened), most
        self.sentences: list[str] = []
        self.counts: Counter[str] = Counter()
        self._known: set[tuple[str, str]] = set()
        self.key = uuid.uuid4().hex
        # Weak: a set that is gone needs no collector.
        _collectors[self.key] = self

    def add(self, name: str, why: str) -> None:
        """Note a problem of ``name`` while the set is opened; the log does not hear of it."""
        self.counts[why] += 1
        if self.counts[why] <= self.most:
            self.sentences.append(f"{name}: {why}")

    def say(self, sentence: str) -> None:
        """Note a sentence about a set that is being opened, as it is."""
        self.opened = (*self.opened, sentence)

    def found(self, name: str, why: str, *, log: bool = True) -> None:
        """Note a problem that showed when ``name`` was read; the same one again changes nothing.

        The log hears of it once. In a process of a loader it is posted as well.

        Args:
            log: False where one line in the log for each sample would be too many.
        """
        # Also what is known here: the original may not know it yet.
        if _outbox.open:
            _outbox.notes[Note(self.key, name, why)] = None
        if (name, why) in self._known:
            return
        self._known.add((name, why))
        self.add(name, why)
        if log:
            logger.warning("%s: %s: %s", self.source, name, why)

    def __iter__(self) -> Iterator[str]:
        yield from self.opened
        yield from self.sentences
        # Kinds with more sentences than are kept.
        for why, count in self.counts.items():
            if count > self.most:
                yield f"{count - self.most} more like these: {why} ({count} in all)"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # In a process of its own (one of several that train) the copy is what its loaders report to.
        _collectors.setdefault(self.key, self)


class _Outbox:
    """Collect notes of a loader process since its last batch; closed in all other processes."""

    def __init__(self) -> None:
        self.open = False
        self.notes: dict[Note, None] = {}


_collectors: WeakValueDictionary[str, Problems] = WeakValueDictionary()
_outbox = _Outbox()


def post_problems() -> None:
    """Post from now on what this process finds: it is a loader's, and its copies are not read."""
    _outbox.open = True
    _outbox.notes.clear()


def take_posted() -> tuple[Note, ...]:
    """Return what this process found since the last call."""
    notes = tuple(_outbox.notes)
    _outbox.notes.clear()
    return notes


def deliver(notes: Iterable[Note]) -> None:
    """Give notes of a loader process to their collectors; the finder has told the log."""
    for note in notes:
        if (collector := _collectors.get(note.key)) is not None:
            collector.found(note.name, note.why, log=False)


def require_some(source: object, count: int, problems: Sequence[str], what: str) -> None:
    """Say in the log what was left out when a set was opened.

    Args:
        count: samples that are left.
        what: one of them, for the sentence: "image with a usable mask".

    Raises:
        InvalidValue: none is left.
    """
    if problems:
        logger.info("%s: %d problems, first: %s", source, len(problems), problems[0])
    # Everything left out is a mistake of the user's, or the wrong folder.
    if not count:
        why = f"; the first problem: {problems[0]}" if problems else ""
        raise InvalidValue(f"{source} holds no {what}{why}")
