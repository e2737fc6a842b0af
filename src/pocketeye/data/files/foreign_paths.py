"""Resolve paths that annotations name: of another machine, of Windows, in quotes, or out of the set.

One rule for all formats. A name is read below the folder of the set. Where it does not lie there as it
is written, its longest end that does is taken: ``C:\\data\\train\\0.jpg`` is ``train/0.jpg``, or
``0.jpg``. What then still leads out of the set is refused by name: annotations come from strangers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from pocketeye.reading import is_file

_DRIVE = re.compile(r"^[A-Za-z]:")
_QUOTES = "\"'"


def path_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a path of any system; a drive and a leading slash are no parts."""
    # Windows writes backslashes and drives.
    slashed = _DRIVE.sub("", name.strip().replace("\\", "/"))
    return tuple(part for part in slashed.split("/") if part not in ("", "."))


def leads_out(name: str) -> bool:
    """Tell whether a name, taken as a path below a folder, is absolute or climbs out of it."""
    slashed = name.strip().replace("\\", "/")
    depth = 0
    for part in path_parts(name):
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return slashed.startswith("/") or _DRIVE.match(slashed) is not None


def find_inside(folder: Path, name: str) -> str | None:
    """Return the file below ``folder`` that an annotation names, relative to it; None for none.

    Symbolic links inside the folder are followed: whoever made the folder made them.
    """
    if not leads_out(name) and is_file(folder / name):
        return name  # a backslash is an ordinary letter of a name here
    parts = path_parts(name)
    # What stands before the last .. is another folder than the set's.
    last_climb = max((at for at, part in enumerate(parts) if part == ".."), default=-1)
    for start in range(last_climb + 1, len(parts)):
        tail = "/".join(parts[start:])
        if is_file(folder / tail):
            return tail
    return None


class SetFiles:
    """Find the files that annotations name below a folder, see :func:`find_inside`.

    Two names that differ never become one file: ``a/0.jpg`` and ``b/0.jpg`` are not both ``0.jpg``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._claimed: dict[str, str] = {}

    def find(self, name: str) -> str | None:
        """Return the file relative to the folder; None where :func:`missing_text` says why."""
        found = find_inside(self.folder, name)
        # The first name keeps a file: two images would get each other's annotations.
        if found is None or self._claimed.setdefault(found, name) != name:
            return None
        return found


def missing_text(name: str) -> str:
    """Say why :func:`find_inside` found nothing."""
    if leads_out(name):
        return "it leads out of the set, and no end of it lies inside"
    return "missing image"


class ListedNames:
    """Find the samples that a line of a list means.

    Such lists hold names with or without suffix and folders, in quotes, with spaces, and in VOC's a
    column of 1, 0 and -1 behind the name.

    Args:
        known: names of the samples without suffix, ``/`` between folders.
        suffixes: in small letters; those that a name in the list may carry.
    """

    def __init__(self, known: Iterable[str], suffixes: Iterable[str]) -> None:
        self._known, self._suffixes = frozenset(known), frozenset(suffixes)
        count = Counter(PurePosixPath(name).name for name in self._known)
        bases = ((PurePosixPath(name).name, name) for name in self._known)
        # A base name that two samples have tells neither.
        self._by_base = {base: name for base, name in bases if count[base] == 1}

    def find(self, line: str) -> str:
        """Return the known name that a line means; else the line's own, without its column."""
        line = line.strip()
        # The exact line first: a name may end in " 1" itself.
        readings = [line, re.sub(r"\s+[-+]?[01]$", "", line)]
        readings += [_unquoted(reading) for reading in readings]
        readings.append(_unquoted(_first_word(line)))
        for reading in readings:
            if (found := self._match(reading)) is not None:
                return found
        return readings[3]

    def _match(self, name: str) -> str | None:
        parts = path_parts(name)
        for start in range(len(parts)):
            tail = "/".join(parts[start:])
            for stem in (tail, self._without_suffix(tail)):
                if stem in self._known:
                    return stem
        base = parts[-1] if parts else ""
        return self._by_base.get(base) or self._by_base.get(self._without_suffix(base))

    def _without_suffix(self, name: str) -> str:
        path = PurePosixPath(name)
        return str(path.with_suffix("")) if path.suffix.lower() in self._suffixes else name


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES
    return text[1:-1].strip() if quoted else text


def _first_word(line: str) -> str:
    """Return what stands before the first space, or the words in quotes that a line begins with."""
    if line[:1] in _QUOTES and line[:1] and (end := line.find(line[0], 1)) > 0:
        return line[: end + 1]
    return line.split()[0] if line.split() else ""
