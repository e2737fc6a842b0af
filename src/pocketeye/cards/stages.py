"""List the stages of a backbone, from timm's ``feature_info``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from pocketeye.models.size import Size, reduced, size_text
from pocketeye.text import text_table


@dataclass(frozen=True, kw_only=True, slots=True)
class StageRow:
    """Describe a resolution of a backbone: what its last module gives out.

    ``blocks`` counts those since the stage before, None where the module is no list of blocks; ``size``
    is that of the map.
    """

    module: str
    channels: int
    stride: int
    size: Size
    blocks: int | None


def stage_rows(module: nn.Module, input_size: Size) -> tuple[StageRow, ...]:
    """Return one row for each resolution; none for networks that do not say."""
    info: Any = getattr(module, "feature_info", None) or ()
    modules, rows = dict(module.named_modules()), list[StageRow]()
    # timm gives a list, or an object around one.
    for stage in getattr(info, "info", info):
        name, stride = str(stage["module"]), int(stage["reduction"])
        rows.append(
            StageRow(
                module=name,
                channels=int(stage["num_chs"]),
                stride=stride,
                size=reduced(input_size, stride),
                blocks=_num_blocks(modules, name, rows[-1].module if rows else ""),
            )
        )
    return tuple(rows)


def stage_table(rows: tuple[StageRow, ...]) -> list[str]:
    """Lay the rows out for a person."""
    texts = [
        (
            r.module,
            *map(
                str,
                (r.channels, r.stride, size_text(r.size), "-" if r.blocks is None else r.blocks),
            ),
        )
        for r in rows
    ]
    return text_table(("stage", "channels", "stride", "size", "blocks"), texts, right=range(1, 5))


def _num_blocks(modules: Mapping[str, nn.Module], name: str, previous: str) -> int | None:
    """Count blocks in ``blocks.4``, and ``blocks.3`` where the stage before ended with ``blocks.2``."""
    parent, _, number = name.rpartition(".")
    before, _, last = previous.rpartition(".")
    if not number.isdecimal():
        return _length(modules.get(name), parent)
    first = int(last) + 1 if before == parent and last.isdecimal() else int(number)
    lengths = [_length(modules.get(f"{parent}.{i}"), parent) for i in range(first, int(number) + 1)]
    # One module without a number spoils the sum.
    return None if None in lengths else sum(n for n in lengths if n is not None)


def _length(stage: nn.Module | None, parent: str) -> int | None:
    """Count a stage's blocks; None for a layer, and for a module made only for ``features_only``."""
    blocks = getattr(stage, "blocks", stage)
    if isinstance(blocks, nn.Sequential | nn.ModuleList):
        # Convolution, BN and activation in a row are no blocks.
        return len(blocks) if all(any(block.children()) for block in blocks) else None
    return 1 if stage is not None and parent.rpartition(".")[2] == "blocks" else None
