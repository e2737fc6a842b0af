"""Say what was segmented: for a person, for ``--json``, and what to do next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.doubts import Doubt, doubt_lines
from pocketeye.results import Result
from pocketeye.text import counted, note_lines, some, text_table
from pocketeye.tracking.image.save import LABELS, MASKS, MOST_LABELS
from pocketeye.verb_result import VerbResult

_LIKELY_WRONG = 0.5  # J from which DAVIS calls a mask right
_MOST_SHOWN = 20  # rows of the table on a terminal; --json has all


@dataclass(frozen=True, kw_only=True)
class SegmentResult(VerbResult):
    """Hold the objects in an image, and the files that hold them.

    Attributes:
        notes: what the files could not hold.
        rest: the same of further images, in the order in which they were given.
    """

    model: str
    image: str
    found: Result
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    rest: tuple[SegmentResult, ...] = ()

    def __iter__(self) -> Iterator[SegmentResult]:
        """Yield the result of each image."""
        yield self
        yield from self.rest

    def to_dict(self) -> dict[str, Any]:
        whole = self._of_this()
        return {**whole, "rest": [each._of_this() for each in self.rest]} if self.rest else whole

    def _of_this(self) -> dict[str, Any]:
        objects = [
            {
                key: value for key, value in row.items()
                if key != "frame" and (key != "label" or value is not None)
            }
            for row in self.found.table()
        ]  # fmt: skip
        return {
            "model": self.model,
            "image": self.image,
            "size": list(self.found.size),
            "objects": objects,
            "doubts": [str(doubt) for doubt in self.doubts],
            "notes": list(self.notes),
            "files": list(self.files),
        }

    def rows(self) -> list[dict[str, Any]]:
        """Return a row per object of each image."""
        return [{"image": each.image, **row} for each in self for row in each._of_this()["objects"]]

    def lines(self) -> list[str]:
        return [line for each in self for line in each._lines()]

    def _lines(self) -> list[str]:
        count, (width, height) = len(self.found), self.found.size
        objects = counted(count, "object")
        rows = [
            (str(row["id"]), f"{row['score']:.2f}", f"{100 * row['area'] / (width * height):.2f}",
             *(f"{row[key]:.0f}" for key in ("x", "y", "width", "height")))
            for row in self.found.table()[:_MOST_SHOWN]
        ]  # fmt: skip
        lines = [f"[bold]{objects}[/bold] in {escape(self.image)}, {width}×{height}"]
        if rows:
            header = ("object", "expected IoU", "% of image", "x", "y", "width", "height")
            lines += text_table(header, rows, right=range(7))
        if count > _MOST_SHOWN:
            lines.append(f"… and {count - _MOST_SHOWN} more (all with --json)")
        if count > MOST_LABELS and any(path.name == MASKS for path in self.files):
            lines.append(f"no {LABELS}: a palette image holds {MOST_LABELS} objects")
        lines += note_lines(self.notes)
        return [*lines, *doubt_lines(self.doubts)]

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Say which masks are likely wrong, as far as the network can tell."""
        rows = self.found.table()
        if not rows:
            seen = f"not one mask in {self.image}"
            remedy = "lower --pred-iou-threshold, or click on what you mean (--point)"
            return (Doubt(what="nothing is found", seen=seen, remedy=remedy),)
        empty = [str(row["id"]) for row in rows if not row["area"]]
        low = [str(row["id"]) for row in rows if row["area"] and row["score"] < _LIKELY_WRONG]
        groups = (
            (empty, "have no mask", "no pixel is filled"),
            (low, "are likely cut out wrongly", f"their expected IoU is below {_LIKELY_WRONG}"),
        )
        remedy = "click once more (--point), also beside it (x,y:0), or give a box (--box)"
        return tuple(
            Doubt(what=f"{len(ids)} of {len(rows)} objects {what}", seen=f"{seen}: {some(ids)}",
                  remedy=remedy)
            for ids, what, seen in groups if ids
        )  # fmt: skip

    def written(self) -> list[Path]:
        return [path for each in self for path in each.files]

    def next_commands(self) -> list[str]:
        return [f"pocketeye info {shlex.quote(self.model)}"]
