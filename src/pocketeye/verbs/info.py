"""``pocketeye info``: what a network is and what it costs, block by block."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pocketeye.models import Architecture, build_block, count
from pocketeye.verbs._network import open_network
from pocketeye.verbs._result import VerbResult
from pocketeye.verbs._text import human_count, text_table

_HEADER = ("op", "in", "out", "stride", "size", "MACs", "params")


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockRow:
    """One layer: ``size`` is the side of the map it receives; ``macs`` for one image."""

    op: str
    in_chs: int
    out_chs: int
    stride: int
    size: int
    macs: int
    params: int


@dataclass(frozen=True, kw_only=True)
class InfoResult(VerbResult):
    """Costs of a network for one image of ``input_size`` pixels a side.

    ``weights`` counts convolutions and linear layers without BN and biases (FBNet's convention);
    ``blocks`` is empty for networks that are no chain of blocks.
    """

    name: str
    model: str
    macs: int
    params: int
    weights: int
    input_size: int
    in_chans: int
    num_classes: int
    blocks: tuple[BlockRow, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        head = [
            f"[bold]{self.name}[/bold]  {human_count(self.macs)} MACs · "
            f"{human_count(self.params)} params · {human_count(self.weights)} weights "
            f"(no BN, no bias) · input {self.in_chans}×{self.input_size}×{self.input_size} · "
            f"{self.num_classes} classes"
        ]
        if not self.blocks:
            return [*head, "no block table: this network is no chain of FBNet blocks"]
        rows = [
            (b.op, *map(str, (b.in_chs, b.out_chs, b.stride, b.size)),
             human_count(b.macs), human_count(b.params))
            for b in self.blocks
        ]  # fmt: skip
        return head + text_table(_HEADER, rows, right=range(1, 7))

    def next_commands(self) -> list[str]:
        return [f"pocketeye export {self.model}", f"pocketeye bench {self.model}"]


def info(model: str, *, input_size: int | None = None) -> InfoResult:
    """Show what a network is: cost, size and the table of its blocks.

    Args:
        model: a name from `pocketeye list`, an architecture.json, or a run folder.
        input_size: side of the image in pixels; the network's own by default.

    Raises:
        InvalidValue: unknown name, or a damaged file.
        MissingFile: no network at that path.
    """
    network = open_network(model, input_size=input_size)
    counts = count(network.module, network.input_shape)
    return InfoResult(
        name=network.name,
        model=model,
        macs=counts.macs,
        params=counts.params,
        weights=counts.weights,
        input_size=network.input_size,
        in_chans=network.input_shape[0],
        num_classes=getattr(network.module, "num_classes", 0),
        blocks=_rows(network.architecture) if network.architecture else (),
    )


def _rows(architecture: Architecture) -> tuple[BlockRow, ...]:
    rows = []
    for placed in architecture.placed():
        spec = placed.spec
        counts = count(build_block(spec), (spec.in_chs, placed.size, placed.size))
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
