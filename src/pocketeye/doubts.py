"""Say why a number should not be taken at its word, where the number is shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.markup import escape


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """Hold one reason to distrust a result.

    Attributes:
        what: is wrong, as a clause.
        seen: how that was noticed, with its numbers.
        remedy: what to try.
    """

    what: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.seen}; {self.remedy}"


def unless_doubted(line: str, doubts: Iterable[Doubt | str]) -> list[str]:
    """Return a line as a list, empty where a doubt says the same: nobody reads it twice."""
    return [] if not line or any(line in str(doubt) for doubt in doubts) else [escape(line)]


def doubt_lines(doubts: Iterable[Doubt | str]) -> list[str]:
    """Return a line of rich markup for each doubt."""
    return [f"[bold yellow]beware[/bold yellow]: {escape(str(doubt))}" for doubt in doubts]
