"""Data sets as ``pocketeye info`` shows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.cards.text import wrapped
from pocketeye.data.describing.description import DataDescription, SplitDescription, describe
from pocketeye.data.describing.sample_sheet import sample_sheet
from pocketeye.errors import InvalidValue
from pocketeye.models.architecture import is_architecture
from pocketeye.results.result import save_image
from pocketeye.runs import ARCHITECTURE, CONFIG, ENVIRONMENT, MANIFEST, MODEL
from pocketeye.text import problem_lines, text_table
from pocketeye.verb_result import Information

_MOST_CLASSES = 30
# A folder with one of these is a network's.
_NETWORKS = (ARCHITECTURE, MODEL, CONFIG, ENVIRONMENT, MANIFEST)


@dataclass(frozen=True, kw_only=True)
class DataInfo(Information):
    """Describe a data set; ``image`` shows samples of it."""

    data: DataDescription
    image: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        data = self.data
        return {
            "source": data.source,
            "kind": data.kind,
            "layout": data.layout,
            "classes": list(data.classes),
            "counted": data.counted,
            "notes": list(data.notes),
            "splits": [vars(split) | {"problems": list(split.problems)} for split in data.splits],
            "image": None if self.image is None else str(self.image),
        }

    def lines(self) -> list[str]:
        data = self.data
        lines = [f"[bold]{escape(data.source)}[/bold]: {escape(data.kind)} ({data.layout})", ""]
        for split in data.splits:
            lines += wrapped(_in_words(split, data), split.name or "all", 12)
        lines += [line for note in data.notes for line in wrapped(note, "note", 12)]
        if data.classes:
            lines += ["", *self._classes()]
        alike: dict[tuple[str, ...], list[str]] = {}  # what is wrong everywhere is said once
        for split in data.splits:
            alike.setdefault(split.problems, []).append(split.name or "all")
        for problems, splits in alike.items():
            if problems:
                lines += ["", *_problems(problems, ", ".join(splits))]
        return lines

    def written(self) -> list[Path]:
        return [] if self.image is None else [self.image]

    def _classes(self) -> list[str]:
        data = self.data
        names = list(dict.fromkeys(name for split in data.splits for name in split.counts))
        header = (data.counted, *(split.name or "all" for split in data.splits))
        rows = [
            (name, *(f"{split.counts.get(name, 0):,}" for split in data.splits))
            for name in names[:_MOST_CLASSES]
        ]
        more = len(names) - _MOST_CLASSES
        after = [f"… and {more} more (--json has all)"] if more > 0 else []
        return [*text_table(header, rows, right=range(1, len(header))), *after]


def data_info(
    path: Path, split: str | None, classes: str | None, out: Path | None, overwrite: bool
) -> DataInfo | None:
    """Describe a set, and draw samples of it into ``out``; None where ``path`` is no data set."""
    # Runs and artefacts are folders with images too: they are no data sets.
    if path.is_dir() and any((path / name).is_file() for name in _NETWORKS):
        return None
    if path.is_file() and is_architecture(path):
        return None
    # Before the set is read, which may take long.
    if out is not None and out.is_dir():
        raise InvalidValue(f"--out takes the name of an image, and {out} is a folder")
    if out is not None and out.exists() and not overwrite:
        raise InvalidValue(f"{out} exists already: replace it with --overwrite")
    data = describe(path, split, classes)
    if data is None or out is None:
        return None if data is None else DataInfo(data=data)
    if data.shown is None:
        drawn = "boxes, outlines, labels and videos"
        raise InvalidValue(f"samples are drawn of {drawn}, not of {data.kind}")
    if out.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InvalidValue(f"the samples go into one image: --out FILE.png, not {out}")
    sheet = sample_sheet(data.shown)
    save_image(sheet, out)
    return DataInfo(data=data, image=out)


def _in_words(split: SplitDescription, data: DataDescription) -> str:
    videos = data.counted == "frames"
    parts = [f"{split.images:,} {'videos' if videos else 'images'}"]
    if videos:
        parts.append(f"{sum(split.counts.values()):,} frames")
    if split.negatives:
        parts.append(f"{split.negatives:,} of them without objects (kept as negatives)")
    if split.sizes is not None:
        low, middle, high = (f"{width}x{height}" for width, height in split.sizes)
        parts.append(low if low == high else f"{low} to {high}, median {middle}")
    if split.objects is not None:
        parts.append(f"{split.objects:,} objects")
    if split.box_sizes is not None:
        small, medium, large = split.box_sizes
        parts.append(f"{small:,} small (below 32² pixels), {medium:,} medium, {large:,} large")
    if split.crowds:
        parts.append(f"{split.crowds:,} crowds")
    return "; ".join(parts)


def _problems(problems: tuple[str, ...], splits: str) -> list[str]:
    """Say how often each kind of problem came, then the first of them."""
    # Names come before the colon: without them equal problems can be counted.
    kinds = Counter(problem.partition(": ")[2] or problem for problem in problems)
    counted = [f"  {count} × {escape(kind)}" for kind, count in kinds.most_common(10)]
    head, *first = problem_lines(problems)
    several = len(kinds) < len(problems)
    return [f"{head[:-1]} ({splits}):", *(counted if several else []), *first]
