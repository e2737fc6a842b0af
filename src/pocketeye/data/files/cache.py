"""Decoded things kept within a budget of bytes, the longest unused thrown away first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ByteCache(Generic[T]):
    """Keep values by key. A copy in another process starts empty.

    Args:
        max_bytes: of all values together.
        size_of: bytes of a value.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[T], int]) -> None:
        self.max_bytes, self.size_of = max_bytes, size_of
        self.values: OrderedDict[Hashable, T] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of ``key``, made if it is not there; what ``make`` raises is passed on."""
        if key in self.values:
            self.values.move_to_end(key)
            return self.values[key]
        value = make()
        self.values[key] = value
        self.bytes += self.size_of(value)
        # The newest value stays, however large it is: it is in use.
        while self.bytes > self.max_bytes and len(self.values) > 1:
            self.bytes -= self.size_of(self.values.popitem(last=False)[1])
        return value

    def __getstate__(self) -> dict[str, Any]:
        # What fills a cache would be sent to each process of a loader.
        return {**self.__dict__, "values": OrderedDict(), "bytes": 0}
