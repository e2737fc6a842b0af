"""Keep a few sessions of video, whoever comes back to them."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

from pocketeye.errors import InvalidValue

MOST_SESSIONS = 8
"""A session has the memories of its objects, some MB each; the one longest not asked for goes first."""


class Closable(Protocol):
    """Describe what can be closed."""

    def close(self) -> None: ...


ItemT = TypeVar("ItemT", bound=Closable)


class Sessions(Generic[ItemT]):
    """Give each session a name that nobody can guess."""

    def __init__(self, most: int = MOST_SESSIONS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._items: OrderedDict[str, ItemT] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def keep(self, item: ItemT) -> str:
        """Keep a session and return its name."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._items[name] = item
            gone = [
                self._items.popitem(last=False)[1] for _ in range(len(self._items) - self._most)
            ]
        for each in gone:
            each.close()
        return name

    def get(self, name: object) -> ItemT:
        """Return a session.

        Raises:
            InvalidValue: no such session, or no more.
        """
        with self._lock:
            if not isinstance(name, str) or name not in self._items:
                raise InvalidValue(
                    f"there is no session {name!r:.40} (only {self._most} are kept): begin anew"
                )
            self._items.move_to_end(name)
            return self._items[name]

    def drop(self, name: object) -> bool:
        """Close a session; tell whether it was there."""
        with self._lock:
            item = self._items.pop(name, None) if isinstance(name, str) else None
        if item is not None:
            item.close()
        return item is not None

    def close(self) -> None:
        """Close all."""
        for name in list(self._items):
            self.drop(name)
