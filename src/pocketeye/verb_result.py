"""Define what every verb returns: values for ``--json``, sentences, files, what to run next."""

from __future__ import annotations

import html
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from pocketeye.text import Shown, html_table, plain_text


class VerbResult(Shown, ABC):
    """Base of the typed result of a verb (subclasses are frozen, keyword-only dataclasses)."""

    def __str__(self) -> str:
        """Return what the command prints, without colours."""
        return plain_text(self.lines())

    def _repr_html_(self) -> str:
        # A table for rows, text for a single thing.
        rows = self.rows()
        return html_table(rows) if len(rows) > 1 else f"<pre>{html.escape(str(self))}</pre>"

    def rows(self) -> list[dict[str, Any]]:
        """Return plain values: a row of each entry of the first table in :meth:`to_dict`, or one row."""
        # A notebook shows the first table of the values as rows.
        whole = self.to_dict()
        for value in whole.values():
            if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
                return value
        return [{k: v for k, v in whole.items() if not isinstance(v, list | tuple | dict)}]

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return plain values: exactly what ``--json`` prints."""

    @abstractmethod
    def lines(self) -> list[str]:
        """Return what a person reads, without the files and the next commands (rich markup allowed)."""

    def written(self) -> list[Path]:
        """Return files and folders the verb wrote, the most useful first."""
        return []

    def next_commands(self) -> list[str]:
        """Complete commands that make sense now."""
        return []

    @property
    def exit_code(self) -> int:
        """Return 0, or 1 where the work was done and the answer is no (a failed parity check)."""
        return 0


class Prediction(VerbResult):
    """Describe what ``predict`` returns of any network: ``model``, ``files``, ``problems``."""

    model: str
    problems: tuple[str, ...]
    files: tuple[Path, ...]


class Evaluation(VerbResult):
    """Describe what ``evaluate`` returns of any network: ``model``, ``files``, ``problems``."""

    model: str | None
    problems: tuple[str, ...]
    files: tuple[Path, ...]


class Information(VerbResult):
    """Hold what ``info`` returns of anything: ``str`` of it is the card."""
