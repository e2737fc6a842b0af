"""Count our networks for `pocketeye list`, and write the table of the cards into docs/models.md.

    python benchmarks/fill_cards.py

The counts go into models/cards/counted.json, the table between `<!-- cards -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from pocketeye import models
from pocketeye.cards.tracker import counted_parts
from pocketeye.models import Card, Cost, cards, list_models, list_tams
from pocketeye.models.backbones.packaged import PACKAGED
from pocketeye.models.tam.create import SPECS
from pocketeye.text import human_count, markdown_table

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "models.md"
COUNTED = Path(models.__file__).parent / "cards" / "counted.json"
_BLOCK = re.compile(r"(<!-- cards -->\n).*?(<!-- end -->)", re.DOTALL)
_TRACKED = ("SA-V test", "DAVIS 2017 val", "MOSE val")
_TRACKER_HEADER = ("network", "params", "image", *(f"{d}, J&F" for d in _TRACKED), "notes")
_HEADER = ("network", "params", "MACs", "at", "top-1 %", "at", "source", "notes")


def recount() -> str:
    """What :func:`pocketeye.models._cards.counted` reads: a line for each network."""
    rows: dict[str, dict[str, Any]] = {"networks": {}, "trackers": {}}
    with torch.device("meta"):  # nothing is computed
        for name in sorted({*list_models(), *PACKAGED}):
            network = models.create_model(name)
            shape = tuple(network.pretrained_cfg["input_size"])
            counts = models.count(network, shape)
            rows["networks"][name] = {
                "params": counts.params, "macs": counts.macs, "input_size": shape[-1],
            }  # fmt: skip
        for name in list_tams():
            tracker = models.create_tam(name)
            parts = counted_parts(tracker)
            rows["trackers"][name] = {
                "params": sum(parts.values()), "image_size": list(tracker.image_size), "parts": parts,
            }  # fmt: skip
    groups = [
        f'"{group}": {{\n'
        + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in of.items())
        for group, of in rows.items()
    ]
    return "{" + "\n},\n".join(groups) + "\n}}\n"


def block() -> str:
    """The tables of our networks, their peers and trackers, and the notes they point to."""
    own, trackers, notes = set(list_models()), set(list_tams()), dict[str, int]()
    groups = ("Ours", [c for c in cards().values() if c.name in own]), (
        "Peers, from timm", [c for c in cards().values() if c.name not in own | trackers],
    )  # fmt: skip
    lines = []
    for title, group in groups:
        rows = [_row(card, notes) for card in group]
        lines += [f"{title}:", "", *markdown_table(_HEADER, rows, right=(1, 2, 3, 4, 5)), ""]
    rows = [_tracker_row(card, notes) for card in cards().values() if card.name in trackers]
    lines += ["Trackers:", "", *markdown_table(_TRACKER_HEADER, rows, right=range(1, 6)), ""]
    lines += [f"{number}. {note[0].upper()}{note[1:]}." for note, number in notes.items()]
    papers = {card.family: card.paper for card in cards().values() if card.paper}
    lines += ["", "Papers:", ""]
    lines += [
        f"* {family}: {p.title}, [arXiv {p.arxiv}](https://arxiv.org/abs/{p.arxiv}), {p.year}"
        for family, p in papers.items()
    ]
    return "\n".join(lines) + "\n\n"


def _row(card: Card, notes: dict[str, int]) -> tuple[str, ...]:
    params, macs, top1 = card.cost("params"), card.cost("MACs"), card.top1
    assert params is not None
    assert macs is not None
    assert top1 is not None
    texts = dict.fromkeys((*params.notes, *macs.notes, *top1.notes))
    marks = [str(notes.setdefault(text, len(notes) + 1)) for text in texts]
    tag = f", `{top1.weights}`" if top1.weights else ""
    return (
        f"`{card.name}`",
        _count(params),
        _count(macs),
        str(macs.at),
        str(float(top1.value)),
        top1.at or "?",
        top1.source + tag,
        ", ".join(marks),
    )


def _tracker_row(card: Card, notes: dict[str, int]) -> tuple[str, ...]:
    params = card.cost("params")
    assert params is not None
    shown = [m for m in card.metrics if m.metric == "J&F" and m.dataset in _TRACKED]
    values = {m.dataset: str(float(m.value)) for m in shown}
    texts = dict.fromkeys(note for m in shown for note in m.notes)
    marks = [str(notes.setdefault(text, len(notes) + 1)) for text in texts]
    side = SPECS[card.name].image_size
    measured = (values.get(dataset, "") for dataset in _TRACKED)
    return (f"`{card.name}`", _count(params), str(side), *measured, ", ".join(marks))


def _count(cost: Cost) -> str:
    """An exact count shortened, a rounded one as it is."""
    return human_count(int(cost.value)) if "," in cost.printed else cost.printed


def filled(text: str) -> str:
    """The document with the table as it is now."""
    return _BLOCK.sub(lambda match: match[1] + block() + match[2], text)


def main() -> None:
    COUNTED.write_text(recount(), encoding="utf-8")
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(filled(text), encoding="utf-8")


if __name__ == "__main__":
    main()
