"""Hold many short texts in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import overload


class Names(Sequence[str]):
    """Hold texts in one piece of memory: 8 bytes each beside their letters (a ``str`` takes 49).

    File names that are no UTF-8 survive (``surrogateescape``).
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        # One piece of memory: thousands of small strings cost more than their letters.
        self._letters, self._ends = bytearray(), array("q", [0])
        for name in names:
            self.append(name)

    def append(self, name: str) -> None:
        self._letters += name.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._letters))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        letters = self._letters[self._ends[index] : self._ends[index + 1]]
        return letters.decode("utf-8", "surrogateescape")
