"""Passing over what turns out to be damaged, so that an epoch goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping, Sequence
from typing import Protocol, TypeVar

from pocketeye.data.files.decode import UnreadableImage
from pocketeye.errors import InvalidValue

logger = logging.getLogger(__name__)
TRIES = 16
T = TypeVar("T")


class Damageable(Protocol):
    """A set whose samples may turn out to be unusable: ``late`` keeps why, by number."""

    @property
    def source(self) -> str:
        """What the user named."""

    @property
    def late(self) -> MutableMapping[int, str]:
        """Why a sample cannot be used."""

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What a person would call the sample."""


def first_readable(sets: Damageable, index: int, read: Callable[[int], T]) -> tuple[int, T]:
    """Number and content of sample ``index``, or of the first after it that can be read.

    What cannot is named in the log, once.

    Raises:
        InvalidValue: 16 damaged ones in a row.
    """
    tries = min(TRIES, len(sets))
    for attempt in range(tries):
        at = (index + attempt) % len(sets)
        try:
            return at, read(at)
        except UnreadableImage as error:
            if at not in sets.late:
                logger.warning("%s: %s cannot be used (%s)", sets.source, sets.name(at), error)
            sets.late[at] = str(error)
    raise InvalidValue(
        f"{sets.source}: {tries} damaged images in a row, the last {sets.name(at)!r}; "
        "see the log for what is wrong with each"
    )


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
    if not count:
        why = f"; the first problem: {problems[0]}" if problems else ""
        raise InvalidValue(f"{source} holds no {what}{why}")


def late_sentences(sets: Damageable) -> tuple[str, ...]:
    """What turned out so far, one sentence each."""
    return tuple(f"{sets.name(k)}: {sets.late[k]}" for k in sorted(sets.late))
