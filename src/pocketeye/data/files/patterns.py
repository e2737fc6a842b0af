"""Expand patterns of file names as users type them."""

from __future__ import annotations

import glob
from pathlib import Path

from pocketeye.reading import exists


def has_pattern(name: str) -> bool:
    """Tell whether a name has ``*``, ``?`` or ``[``, and no file or folder has that very name."""
    return glob.has_magic(name) and not exists(Path(name))


def matches(pattern: str) -> list[Path]:
    """Return the files and folders that match, sorted.

    Folders that exist as they are written stand for themselves: ``br [1]/*.png`` looks into ``br [1]``,
    and only where there is none into ``br 1``.
    """
    parts = Path(pattern).parts
    here = Path()
    done = 0
    # As far as folders exist under the very name, brackets in it are letters.
    for part in parts[:-1]:
        if not (here / part).exists() or part == "**":
            break
        here, done = here / part, done + 1
    rest = str(Path(*parts[done:]))
    whole = str(Path(glob.escape(str(here))) / rest) if done else rest
    # Path.glob takes no absolute patterns
    return sorted(Path(match) for match in glob.glob(whole, recursive=True))  # noqa: PTH207
