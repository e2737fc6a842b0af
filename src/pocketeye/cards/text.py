"""Write cards as text: what was published, with letters for sources and numbers for notes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.markup import escape

from pocketeye.models import Card
from pocketeye.text import text_table

WIDTH = 80
_HEADER = ("published", "on", "value", "at", "by", "note")


def wrapped(text: str, label: str = "", indent: int = 0) -> list[str]:
    """Wrap a paragraph for a narrow terminal; ``label`` stands before it, ``indent`` columns wide."""
    # Names and addresses are copied: they must not be broken.
    body = textwrap.wrap(text, WIDTH - indent, break_on_hyphens=False, break_long_words=False)
    first = label.ljust(indent)
    return [escape(first + body[0]), *(escape(" " * indent + line) for line in body[1:])]


def top1_text(card: Card | None, input_size: int | None = None) -> str:
    """Write the published ImageNet top-1 as ``78.3*`` or ``74.53@256 ``, a star where a note matters."""
    if card is None:
        return "no card "
    if card.top1 is None:
        return ""
    metric = card.top1
    # The size is told only where it is another one than shown beside it.
    at = f"@{metric.at}" if input_size and metric.at and metric.at != str(input_size) else ""
    return f"{float(metric.value)}{at}{'*' if metric.notes else ' '}"


def top1_notes(cards: Iterable[Card]) -> list[str]:
    """Return the notes behind the stars, each once, with the networks it is about."""
    names: dict[str, list[str]] = {}
    for card in cards:
        for note in card.top1.notes if card.top1 else ():
            # Many networks share a note: it is written once.
            names.setdefault(note, []).append(card.name)
    return [
        line for note, who in names.items() for line in wrapped(f"{', '.join(who)}: {note}", "*", 2)
    ]


def published_table(card: Card) -> list[str]:
    """List everything others printed about the network, with sources and notes below."""
    sources = _Labels("abcdefghijklmnopqrstuvwxyz")
    notes = _Labels("123456789")
    rows = [
        (
            f"{cost.of}, {cost.form}" if cost.form else cost.of,
            "" if cost.agrees else "(not as counted)",
            cost.printed,
            str(cost.at or ""),
            sources.of(cost.source),
            ",".join(map(notes.of, cost.notes)),
        )
        for cost in card.costs
        if cost.source != "counted here"
    ]
    rows += [
        (
            metric.metric,
            metric.dataset,
            str(float(metric.value)),
            metric.at,
            sources.of(
                f"{metric.source}, tag {metric.weights}" if metric.weights else metric.source
            ),
            ",".join(map(notes.of, metric.notes)),
        )
        for metric in card.metrics
    ]
    lines = text_table(_HEADER, rows, right=(2, 3))
    for labels in (sources, notes):
        for text, label in labels.items():
            lines += wrapped(text, f"  {label}", 5)
    return lines


class _Labels(dict[str, str]):
    """Give every text a short label, in the order they come; none to the empty text."""

    def __init__(self, alphabet: str) -> None:
        super().__init__()
        self.alphabet = alphabet

    def of(self, text: str) -> str:
        # The next letter, in the order in which texts come.
        return self.setdefault(text, self.alphabet[len(self)]) if text else ""
