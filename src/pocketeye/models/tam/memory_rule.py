"""Choose which tracked frames a frame reads: one rule for sessions and for training."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import NamedTuple


class MemoryRule(enum.Enum):
    """Say how the tracked frames that a frame reads are chosen; prompted frames are always read.

    ``RECENT`` is SAM 2's and EfficientTAM's: the frames just before, whatever was said in them. An
    object that is hidden for six frames leaves nothing but empty maps. ``VISIBLE`` passes over frames
    in which the object was not found, so that it is still known when it comes back. ``DISTINCT`` is
    DAM4SAM's (arXiv 2411.17576): half of the memory is frames some way apart and the last one, the
    other half anchors in which a look-alike stands beside the object. Networks are trained with one of
    the first two; sessions may use any.
    """

    RECENT = "recent"
    VISIBLE = "visible"
    DISTINCT = "distinct"


class Read(NamedTuple):
    """Name a tracked frame, and the slot of the memory at which its map is read (0 is the newest)."""

    frame: int
    slot: int


def recent_frames(frame: int, step: int, kept: Iterable[int], count: int) -> list[Read]:
    """Return the ``count`` frames just before ``frame`` as far as they are kept, oldest first.

    Args:
        step: 1 where tracking goes forwards, -1 backwards.
        kept: frames whose maps are there.
        count: slots for tracked frames; a frame's slot is its age.
    """
    # A missing frame leaves a gap, as in SAM 2: the others keep the slots of their age.
    there = set(kept)
    aged = [Read(frame - step * age, age - 1) for age in range(count, 0, -1)]
    return [read for read in aged if read.frame in there]


def last_frames(frame: int, step: int, kept: Iterable[int], count: int) -> list[Read]:
    """Return the last ``count`` kept frames before ``frame``, oldest first; slots have no gaps.

    Args: as of :func:`recent_frames`.
    """
    before = [f for f in kept if (frame - f) * step > 0]
    # Slots count frames that show the object, not time: after a long absence its age in frames
    # would be one that no embedding was trained for.
    newest = sorted(before, key=lambda f: (frame - f) * step)[:count]
    return [Read(f, slot) for slot, f in enumerate(newest)][::-1]


def frames_to_read(
    rule: MemoryRule, frame: int, step: int, kept: Iterable[int], count: int
) -> list[Read]:
    """Return the tracked frames that ``frame`` reads by ``rule``, oldest first.

    Args: as of :func:`recent_frames`; but for ``RECENT`` only frames in which the object was found
        are ``kept``.
    """
    choose = recent_frames if rule is MemoryRule.RECENT else last_frames
    return choose(frame, step, kept, count)
