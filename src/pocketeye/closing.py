"""What a ``with`` block closes at its end: base of videos, writers and sessions."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """Close this at the end of a ``with`` block; where the block fails, abort it."""

    def close(self) -> object:
        """Give back files and devices."""
        return None

    def abort(self) -> object:
        """Give back files and devices after an error; what :meth:`close` does by default."""
        return self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()
