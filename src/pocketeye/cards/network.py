"""The card of a network that makes no dense predictions: its costs, what was published, its layers."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.markup import escape

from pocketeye.cards.packaged import PackagedRow, packaged_row
from pocketeye.cards.run import RunCard, read_run_card
from pocketeye.cards.stages import StageRow, stage_rows, stage_table
from pocketeye.cards.text import published_table, wrapped
from pocketeye.latency.record import FiledRecord, by_setup, ms_text, records_in
from pocketeye.models import Architecture, Card, build_block, card_for, count
from pocketeye.models.reference import Named, Reference, Run, TimmName
from pocketeye.models.size import Size, sides, size_text
from pocketeye.models.weights.bundled import BundledCard, bundled_card
from pocketeye.predicting.network import open_network
from pocketeye.text import human_count, text_table
from pocketeye.verb_result import Information

# models.count
COUNTER = "torch's FlopCounterMode (convolutions, matrix products)"
_FORMS = {"two heads": "with two heads (distilled=True)", "merged": "once merged"}
_HEADER = ("op", "in", "out", "stride", "size", "MACs", "params")


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRow:
    """Describe one layer: ``size`` is the side of the map it receives; ``macs`` for one image."""

    op: str
    in_chs: int
    out_chs: int
    stride: int
    size: Size
    macs: int
    params: int


@dataclass(frozen=True, kw_only=True)
class InfoResult(Information):
    """Describe a network for one image of ``input_size`` pixels a side, or (height, width).

    Attributes:
        macs: multiply-accumulates by ``counter``.
        weights: of convolutions and linear layers without BN and biases (FBNet's convention).
        blocks: empty for networks that are no chain of blocks.
        stages: what the backbone gives to heads, at falling resolution.
        card: what was published; None where nobody wrote that down, and for files.
        run: of a run folder.
        bundled: what else is to be said of weights that come along.
        packaged: the pip package that brings weights of this network; None without one.
        measured: records of this network in the folder of results.
    """

    name: str
    model: str
    macs: int
    params: int
    weights: int
    input_size: Size
    in_chans: int
    num_classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: str
    blocks: tuple[BlockRow, ...]
    stages: tuple[StageRow, ...]
    card: Card | None
    run: RunCard | None
    bundled: BundledCard | None
    packaged: PackagedRow | None
    measured: tuple[FiledRecord, ...]
    counter: str = COUNTER

    def to_dict(self) -> dict[str, Any]:
        measured = [filed.to_dict() for filed in self.measured]
        card = self.card.to_dict() if self.card else None
        return {**asdict(self), "measured": measured, "card": card}

    def lines(self) -> list[str]:
        described = self.card or self.bundled
        summary = f"{self.name}: {described.summary}" if described else self.name
        first, *more = wrapped(summary)
        sections = [
            [first.replace(escape(self.name), f"[bold]{escape(self.name)}[/bold]", 1), *more],
            self._costs(),
            self.run.lines() if self.run else self._card(),
            _labelled(*self.bundled.rows()) if self.bundled else [],
            published_table(self.card) if self.card else [],
            self._measured(),
            self._layers(),
        ]
        return [line for section in sections if section for line in (*section, "")][:-1]

    def next_commands(self) -> list[str]:
        model = shlex.quote(self.model)
        commands = [f"pocketeye export {model}", f"pocketeye bench {model}"]
        # A finished run that nobody has judged is worth judging next.
        if self.run and self.run.top1 is not None and self.run.evaluation is None:
            commands.insert(0, f"pocketeye eval {model} --data {shlex.quote(self.run.data)}")
        if self.packaged:
            commands[0] += " --pretrained"
        return commands

    def _costs(self) -> list[str]:
        height, width = sides(self.input_size)
        image = f"{self.in_chans}×{height}×{width}"
        others = [
            f"{cost.printed} {_FORMS[cost.form]}"
            for cost in (self.card.costs if self.card else ())
            if cost.of == "params" and cost.form and cost.source == "counted here"
        ]
        mean, std = (" ".join(f"{v:g}" for v in values) for values in (self.mean, self.std))
        return _labelled(
            ("params", "; ".join([f"{human_count(self.params)} ({self.params:,})", *others])),
            ("", f"{human_count(self.weights)} weights (no BN, no bias)"),
            ("MACs", f"{human_count(self.macs)} for an image of {image}, by {self.counter}"),
            ("image", f"{image}, mean {mean}, std {std}, crop {self.crop_pct:g}, "
                        f"{self.interpolation}"),
            ("outputs", f"{self.num_classes} classes"),
        )  # fmt: skip

    def _card(self) -> list[str]:
        card = self.card
        if card is None:
            return ["no card: nothing published of this network is written down here"]
        load = {
            "": "",
            "--pretrained": f" (pocketeye export {self._with_weights} --pretrained)",
            "--checkpoint": f" (pocketeye export {self.name} --checkpoint FILE)",
        }[card.load]
        return _labelled(
            *([("paper", str(card.paper))] if card.paper else []),
            ("origin", card.origin),
            ("licence", f"code {card.code_license}; weights {card.weights_license}"),
            ("weights", f"{card.weights}{load}"),
            *([("package", self.packaged.sentence)] if self.packaged else []),
        )

    @property
    def _with_weights(self) -> str:
        """Return the name that stands for published weights: timm's tag, but for those of packages."""
        return self.name if self.packaged else f"{self.name}.TAG"

    def _measured(self) -> list[str]:
        if not self.measured:
            return []
        rows = [
            (r.precision, f"{r.latency_ms:.3g}{' est.' if r.estimated else ''}",
             ms_text(r.timing.p50_ms), ms_text(r.timing.p90_ms), str(r.input_size or ""),
             r.date[:10], file)
            for r, file in self.measured
        ]  # fmt: skip
        header = ("measured", "undisturbed ms", "p50", "p90", "input", "date", "record")
        table = text_table(header, rows, right=(1, 2, 3, 4))
        return table + [
            line
            for setup, group in by_setup(self.measured).items()
            for line in wrapped(f"{', '.join(f.record.precision for f in group)}: {setup}", "  ", 2)
        ]

    def _layers(self) -> list[str]:
        if self.blocks:
            rows = [
                (b.op, *map(str, (b.in_chs, b.out_chs, b.stride, size_text(b.size))),
                 human_count(b.macs), human_count(b.params))
                for b in self.blocks
            ]  # fmt: skip
            return text_table(_HEADER, rows, right=range(1, 7))
        return stage_table(self.stages) if self.stages else ["no table: it names no stages"]


def network_info(
    model: str, named: Reference, *, input_size: int | None, results: Path
) -> InfoResult:
    """Describe a network from its modules, and from what is written of it.

    Args:
        named: what ``model`` stands for.
        input_size: side of the image in pixels; the network's own by default.
        results: folder of latency records, where there is one.

    Raises:
        InvalidValue: a damaged file, or a size that the network does not take.
    """
    network = open_network(model, input_size=input_size, any_shape=True)
    counts = count(network.module, network.input_shape)
    folder = named.folder if isinstance(named, Run) else None
    return InfoResult(
        name=network.name,
        model=model,
        macs=counts.macs,
        params=counts.params,
        weights=counts.weights,
        input_size=network.own_size or network.input_size,
        in_chans=network.input_shape[0],
        num_classes=getattr(network.module, "num_classes", 0),
        mean=network.info.mean,
        std=network.info.std,
        crop_pct=network.info.crop_pct,
        interpolation=network.info.interpolation,
        blocks=_rows(network.architecture) if network.architecture else (),
        stages=stage_rows(network.module, network.own_size or network.input_size),
        card=card_for(network.name) if isinstance(named, Named | TimmName) else None,
        run=read_run_card(folder) if folder else None,
        bundled=bundled_card(folder) if folder else None,
        packaged=packaged_row(network.name) if isinstance(named, Named | TimmName) else None,
        measured=tuple(f for f in records_in(results) if f.record.subject == network.name),
    )


def _labelled(*rows: tuple[str, str]) -> list[str]:
    return [line for label, text in rows for line in wrapped(text, label, 12)]


def _rows(architecture: Architecture) -> tuple[BlockRow, ...]:
    rows = []
    for placed in architecture.placed():
        spec = placed.spec
        # Each block by itself, on the map it receives.
        counts = count(build_block(spec), placed.input_shape)
        rows.append(
            BlockRow(
                op=spec.op,
                in_chs=spec.in_chs,
                out_chs=spec.out_chs,
                stride=spec.stride,
                size=placed.size,
                macs=counts.macs,
                params=counts.params,
            )
        )
    return tuple(rows)
