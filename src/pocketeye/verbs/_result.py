"""What every verb returns: values for ``--json``, sentences for a person, files, what to run next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any


class VerbResult(ABC):
    """Base of the typed result of a verb (subclasses are frozen, keyword-only dataclasses)."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain values: exactly what ``--json`` prints."""

    @abstractmethod
    def lines(self) -> list[str]:
        """What a person reads, without the files and the next commands (rich markup allowed)."""

    def written(self) -> list[Path]:
        """Files and folders the verb wrote, the most useful first."""
        return []

    def next_commands(self) -> list[str]:
        """Complete commands that make sense now."""
        return []

    @property
    def exit_code(self) -> int:
        """0, or 1 where the work was done and the answer is no (a failed parity check)."""
        return 0
