"""Run ``pocketeye list``: the networks there are, their cost, what was published and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pocketeye.cards.packaged import PackagedRow, packaged_rows, packaged_table
from pocketeye.cards.text import top1_notes, top1_text, wrapped
from pocketeye.cards.tracker_rows import TrackerRow, tracker_row, tracker_table
from pocketeye.errors import InvalidValue, nearest
from pocketeye.latency.record import FiledRecord, by_setup, origin, records_in
from pocketeye.models._cards import Card, card_for, counted
from pocketeye.models.weights.bundled import bundled_card, bundled_run, bundled_runs
from pocketeye.text import human_count, text_table
from pocketeye.verb_result import VerbResult

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """Describe a registered network; counts are None where only names were asked, ``card`` where nobody
    wrote one."""

    name: str
    params: int | None
    macs: int | None
    input_size: int | None
    measured: tuple[FiledRecord, ...] = ()
    card: Card | None = None

    def to_dict(self) -> dict[str, Any]:
        measured = [filed.to_dict() for filed in self.measured]
        card = self.card.to_dict() if self.card else None
        return {**asdict(self), "measured": measured, "card": card}


@dataclass(frozen=True, kw_only=True)
class ListResult(VerbResult):
    """Trained runs that come along, networks (those with weights in a pip package among them) and
    trackers, as far as they match, by name."""

    models: tuple[ModelRow, ...]
    packaged: tuple[PackagedRow, ...] = ()
    trackers: tuple[TrackerRow, ...] = ()
    bundled: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "models": [row.to_dict() for row in self.models],
            "packaged": [row.to_dict() for row in self.packaged],
            "trackers": [row.to_dict() for row in self.trackers],
            "bundled": list(self.bundled),
        }

    def lines(self) -> list[str]:
        # what works at once comes first
        ours = [row for row in self.trackers if row.here and row.file is None]
        tables = [_bundled_table(self.bundled, ours)] if self.bundled or ours else []
        tables += [packaged_table(self.packaged)] if self.packaged else []
        tables += [self._networks()] if self.models else []
        tables += [tracker_table(self.trackers)] if self.trackers else []
        return [line for table in tables for line in (*table, "")][:-1]

    def _networks(self) -> list[str]:
        if any(row.macs is None for row in self.models):
            rows = [(row.name, top1_text(row.card)) for row in self.models]
            return [*text_table(("model", "top-1 "), rows, right=(1,)), *self._notes()]
        setups = by_setup(f for row in self.models for f in row.measured)
        # One setup needs no letter.
        letters = dict(zip(setups, _LETTERS if len(setups) > 1 else " ", strict=False))
        lines = []
        for row in self.models:
            cost = (human_count(row.params or 0), human_count(row.macs or 0), str(row.input_size))
            # A line for each setup: numbers of two machines must not be compared by mistake.
            texts = [
                f"{letters[setup]} {' · '.join(f.record.brief(row.input_size) for f in group)}".strip()
                for setup, group in by_setup(row.measured).items()
            ] or [""]
            lines.append((row.name, *cost, top1_text(row.card, row.input_size), texts[0]))
            lines += [("", "", "", "", "", text) for text in texts[1:]]
        header = ("model", "params", "MACs", "input", "top-1 ", "ms" if setups else "")
        table = text_table(header, lines, right=(1, 2, 3, 4))
        for setup, group in setups.items():
            mark = f"ms {letters[setup]}".strip()
            table += wrapped(
                f"measured, undisturbed: {setup}; {origin(group)}", mark, len(mark) + 1
            )
        return [*table, *self._notes()]

    def next_commands(self) -> list[str]:
        names = [row.name for row in self.models] + [row.name for row in self.trackers]
        return [f"pocketeye info {[*self.bundled, *names][0]}"]

    def _notes(self) -> list[str]:
        cards = [row.card for row in self.models if row.card]
        if not cards:
            return []
        where = (
            "top-1 ImageNet-1k, %, as published, @ another input size; sources: pocketeye info NAME"
        )
        return [*wrapped(where), *top1_notes(cards)]


def list_models(
    pattern: str = "*", *, include_timm: bool = False, results: Path = Path("results")
) -> ListResult:
    """List trained runs that come along, networks, trackers: cost, accuracy, latency, weights.

    Args:
        pattern: names to show, shell-style: 'fbnet_*'.
        include_timm: also the backbones of timm, by name only (every one trains and exports too).
        results: folder of latency records to show beside the networks, where there is one.

    Raises:
        InvalidValue: nothing matches.
    """
    packaged = packaged_rows(pattern)
    known = counted()
    names = [name for name in known["networks"] if fnmatch(name, pattern)]
    if include_timm:
        names = sorted({*names, *_names_of_timm(pattern)})
    trackers = [name for name in known["trackers"] if fnmatch(name, pattern)]
    runs = tuple(name for name in bundled_runs() if fnmatch(name, pattern))
    if not names and not trackers and not runs:
        raise InvalidValue(_nothing(pattern))
    shown = tuple(tracker_row(name) for name in trackers)
    if include_timm:
        # timm's networks are a thousand: making each to count it would take minutes.
        rows = [
            ModelRow(name=n, params=None, macs=None, input_size=None, card=card_for(n))
            for n in names
        ]
        return ListResult(models=tuple(rows), packaged=packaged, trackers=shown, bundled=runs)
    filed = records_in(results)
    rows = [_row(name, filed) for name in names]
    return ListResult(models=tuple(rows), packaged=packaged, trackers=shown, bundled=runs)


def _bundled_table(names: Sequence[str], trackers: Sequence[TrackerRow]) -> list[str]:
    """Write a line for each network whose weights come along, by the name that it goes by."""
    rows = []
    for name in names:
        folder = bundled_run(name)
        card = bundled_card(folder) if folder else None
        rows.append((name, card.summary if card else ""))
    rows += [(row.name, row.card.summary if row.card else "") for row in trackers]
    return text_table(("trained, comes along", "what"), rows)


def _row(name: str, filed: list[FiledRecord]) -> ModelRow:
    return ModelRow(
        name=name,
        **counted()["networks"][name],
        measured=tuple(f for f in filed if f.record.subject == name),
        card=card_for(name),
    )


def _names_of_timm(pattern: str) -> list[str]:
    import timm  # brings torch, which nothing else here needs

    return [name for name in timm.list_models() if fnmatch(name, pattern)]


def _nothing(pattern: str) -> str:
    theirs = _names_of_timm(pattern)
    if theirs:
        return f"no network of ours matches {pattern!r}, {len(theirs)} of timm's do: --include-timm"
    # Guesses are made among all names, timm's included.
    known = [*counted()["networks"], *counted()["trackers"], *bundled_runs(), *_names_of_timm("*")]
    close = nearest(pattern.strip("*"), known)
    guess = f" Did you mean {close!r}?" if close else ""
    return f"no network matches {pattern!r}.{guess} (all: pocketeye list)"
