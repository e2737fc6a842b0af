"""Describe trackers as ``pocketeye list`` shows them, without making them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pocketeye.cards.text import wrapped
from pocketeye.models._cards import Card, card_for, counted
from pocketeye.models.tam.published import (
    PUBLISHED,
    PublishedFile,
    bundled_weights,
    checkpoint_folder,
)
from pocketeye.text import human_count, text_table


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerRow:
    """Describe a tracker.

    Attributes:
        parts: parameters of its parts; "pointers and embeddings" are what belongs to none.
        image_size: (height, width) of its image.
        file: the published weights, None where nobody has published any.
        path: where that file is looked for, or the weights that come with the package.
        here: whether it is there.
    """

    name: str
    params: int
    parts: dict[str, int]
    image_size: tuple[int, int]
    file: PublishedFile | None
    path: Path | None
    here: bool
    card: Card | None

    def to_dict(self) -> dict[str, Any]:
        file = None
        if self.file is not None:
            file = {"name": self.file.file_name, "url": self.file.url, **asdict(self.file)}
        return {
            **asdict(self),
            "file": file,
            "card": self.card.to_dict() if self.card else None,
        }


def tracker_row(name: str) -> TrackerRow:
    """Describe one of :func:`pocketeye.models.list_tams` for a table."""
    file = PUBLISHED.get(name)
    # Published weights lie where the user put them, ours in the package.
    path = checkpoint_folder() / file.file_name if file else bundled_weights(name)
    # Counted beforehand: making all trackers would take seconds.
    known = counted()["trackers"][name]
    return TrackerRow(
        name=name,
        params=known["params"],
        parts=known["parts"],
        image_size=tuple(known["image_size"]),
        file=file,
        path=path,
        here=path is not None and path.is_file(),
        card=card_for(name),
    )


def tracker_table(rows: Sequence[TrackerRow]) -> list[str]:
    """Write a line per tracker, and where weights belong."""
    cells = [
        (row.name, human_count(row.params), str(row.image_size[0]),
         *_weights_of(row))
        for row in rows
    ]  # fmt: skip
    table = text_table(("tracker", "params", "image", "weights", "here"), cells, right=(1, 2))
    # One hint for all: every row would say the same.
    published = [row for row in rows if row.file is not None]
    if published and not any(row.here for row in published):
        folder = checkpoint_folder()
        table += wrapped(
            f"no weights here: they belong into {folder}; pocketeye info NAME says more"
        )
    return table


def _weights_of(row: TrackerRow) -> tuple[str, str]:
    """Say which weights there are, and whether they are here."""
    if row.file is None:
        return ("come with pocketeye", "yes") if row.here else ("none published", "")
    return row.file.file_name, "yes" if row.here else "no"
