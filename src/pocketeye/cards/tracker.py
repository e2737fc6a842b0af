"""Describe a tracker as ``pocketeye info`` shows it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from torch.utils.flop_counter import FlopCounterMode

from pocketeye.cards.text import published_table, wrapped
from pocketeye.cards.tracker_rows import TrackerRow, tracker_row
from pocketeye.models import TAM, Card, create_tam
from pocketeye.models.reference import Reference, Run
from pocketeye.models.tam.described import TrackerDescription
from pocketeye.models.weights.described import read_fields
from pocketeye.runs import BEST, RESULT
from pocketeye.text import human_bytes, human_count, human_seconds
from pocketeye.verb_result import Information

_PARTS = {
    "image_encoder": "image encoder",
    "memory_attention": "memory attention",
    "memory_encoder": "memory encoder",
    "prompt_encoder": "prompt encoder",
    "mask_decoder": "mask decoder",
    # Of our own networks alone.
    "prompt_maps": "prompts drawn into the map",
    "matching": "masks carried by likeness",
    "target": "target model",
}


@dataclass(frozen=True, kw_only=True)
class TrackerInfo(Information):
    """Hold a tracker's card: ``image_macs`` are spent once per image, ``click_macs`` once per prompt.

    Attributes:
        model: what the user called it.
        description: of a run; None for a name.
        trained: what the run's ``result.json`` says; empty until its training is finished.
    """

    model: str
    tracker: TrackerRow
    image_macs: int
    click_macs: int
    description: TrackerDescription | None = None
    trained: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.tracker.to_dict(),
            "image_macs": self.image_macs,
            "click_macs": self.click_macs,
            "description": self.description.to_dict() if self.description else None,
            "trained": dict(self.trained),
        }

    def lines(self) -> list[str]:
        row, card = self.tracker, self.tracker.card
        name = escape(row.name)
        first, *more = wrapped(f"{row.name}: {card.summary}" if card else row.name)
        sections = [
            [first.replace(name, f"[bold]{name}[/bold]", 1), *more],
            self._costs(),
            *([self._run(self.description)] if self.description else
              [self._card(), self._weights(), _published(card)]),
        ]  # fmt: skip
        return [line for section in sections if section for line in (*section, "")][:-1]

    def next_commands(self) -> list[str]:
        name = shlex.quote(self.model)
        weights = "" if self.tracker.here else " --checkpoint FILE"
        return [f"pocketeye segment IMAGE --point X,Y --model {name}{weights}"]

    def _run(self, said: TrackerDescription) -> list[str]:
        """Say what was trained, on what, and what came of it."""
        result = "the training is not finished"
        if self.trained:
            result = (
                f"IoU {100 * self.trained['iou']:.1f} % on validation, epoch "
                f"{self.trained['best_epoch']} of {self.trained['epochs']}, "
                f"{human_seconds(self.trained['seconds'])}"
            )
        rows = [
            ("run", f"{self.model}, trained to {said.task.goal}"),
            ("trunk", said.trunk or "the network's own"),
            ("trained on", said.data or "unknown"),
            ("result", result),
        ]
        return [line for label, text in rows for line in wrapped(text, label, 12)]

    def _costs(self) -> list[str]:
        row = self.tracker
        image = f"3×{row.image_size[0]}×{row.image_size[1]}"
        parts = [
            line
            for part, params in row.parts.items()
            for line in wrapped(f"{human_count(params)} ({params:,}) {part}", "", 12)
        ]
        macs = (
            f"{human_count(self.image_macs)} to look at an image of {image}, "
            f"{human_count(self.click_macs)} for a click, by torch's FlopCounterMode"
        )
        return [
            *wrapped(f"{human_count(row.params)} ({row.params:,})", "params", 12),
            *parts,
            *wrapped(macs, "MACs", 12),
        ]

    def _card(self) -> list[str]:
        card = self.tracker.card
        if card is None:
            return []
        rows = [("paper", str(card.paper))] if card.paper else []
        rows += [
            ("origin", card.origin),
            ("licence", f"code {card.code_license}; weights {card.weights_license}"),
            ("weights", card.weights),
        ]
        return [line for label, text in rows for line in wrapped(text, label, 12)]

    def _weights(self) -> list[str]:
        row = self.tracker
        if row.file is None:
            return wrapped("come with pocketeye", "file", 12) if row.here else []
        size = f", {human_bytes(row.file.size_bytes)}" if row.file.size_bytes else ""
        where = "is here:" if row.here else "no weights here: put it at"
        return [
            *wrapped(f"{row.file.file_name}{size}", "file", 12),
            # Whole, to be copied.
            escape(f"    sha256 {row.file.sha256}"),
            escape(f"    from {row.file.url}"),
            escape(f"    {where} {row.path}"),
        ]


def counted_parts(model: TAM) -> dict[str, int]:
    """Return the parameters of a tracker's parts, by their words for a person."""
    there = {label: getattr(model, part) for part, label in _PARTS.items()}
    parts = {label: _params(part) for label, part in there.items() if part is not None}
    # What is left belongs to no part: embeddings of time, pointers.
    return {**parts, "pointers and embeddings": _params(model) - sum(parts.values())}


def _of_run(variant: str, model: TAM, weights: Path) -> TrackerRow:
    """Describe the network of a run as the trackers of the list are."""
    return TrackerRow(
        name=variant, params=_params(model), parts=counted_parts(model),
        image_size=model.image_size, file=None, path=weights, here=weights.is_file(), card=None,
    )  # fmt: skip


def tracker_info(model: str, named: Reference, image_size: int | None = None) -> TrackerInfo:
    """Describe a tracker, at another size of image if given.

    Args:
        model: what the user called it.
        named: one of :func:`pocketeye.models.list_tams`, or the run of a tracker.
        image_size: side of the image in pixels.

    Raises:
        InvalidValue: a size that does not fit, or a run whose description or result is damaged.
    """
    described, trained, variant = None, dict[str, Any](), named.name
    if isinstance(named, Run):
        described = TrackerDescription.load(named.folder)
        trained, variant = _result_of(named.folder), described.variant
    with torch.device("meta"):
        network = described.make(image_size) if described else create_tam(variant, image_size)
        network = network.eval().requires_grad_(False)
        # Values do not matter: on meta nothing is computed.
        image = torch.empty(1, 3, *network.image_size)
        point, label = torch.empty(1, 1, 2), torch.ones(1, 1, dtype=torch.int64)
        with FlopCounterMode(display=False) as looking:
            feat, details = network.encode_image(image)
        with FlopCounterMode(display=False) as answering:
            network.predict(network.without_memory(feat), point, label, details=details)
    if isinstance(named, Run):
        row = _of_run(variant, network, named.folder / BEST)
    else:
        row = replace(tracker_row(variant), params=_params(network), image_size=network.image_size,
                      parts=counted_parts(network))  # fmt: skip
    return TrackerInfo(
        model=model,
        tracker=row,
        # A multiplication and an addition are counted as two.
        image_macs=looking.get_total_flops() // 2,
        click_macs=answering.get_total_flops() // 2,
        description=described,
        trained=trained,
    )


def _result_of(folder: Path) -> dict[str, Any]:
    """Read what a finished training came to; empty for one that is not finished."""
    path = folder / RESULT
    if not path.is_file():
        return {}
    return read_fields(path, iou=float, best_epoch=int, epochs=int, seconds=float)


def _published(card: Card | None) -> list[str]:
    if card is None:
        return []
    if not card.metrics:
        return ["no published results"]
    return published_table(card)


def _params(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
