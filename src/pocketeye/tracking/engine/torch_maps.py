"""Keep maps of the memory as a network in torch wrote them.

Maps lie in the batch in which they were written, so that objects tracked together are read without
copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pocketeye.models.tam import Memory


@dataclass(frozen=True, slots=True, eq=False)
class MapBatch:
    """Hold the maps that ``B`` objects left in one frame, written together."""

    raw: Tensor  # (B, M, h, w) as the memory encoder made it, matching channels included
    prepared: Memory | None  # as it is read beside other maps; None in a plain session


@dataclass(frozen=True, slots=True, eq=False)
class MapRow:
    """Point at one object's map in a :class:`MapBatch`."""

    batch: MapBatch
    row: int

    @property
    def raw(self) -> Tensor:
        """Return the map ``(1, M, h, w)`` as it was written."""
        return self.batch.raw[self.row : self.row + 1]

    @property
    def prepared(self) -> Memory:
        """Return the map with its keys projected, as a batch of 1."""
        whole = self.batch.prepared
        assert whole is not None  # plain sessions read raw maps
        row = slice(self.row, self.row + 1)
        match = None if whole.match is None else whole.match[row]
        target = None if whole.target is None else whole.target[row]
        return Memory(whole.keys[:, row], whole.values[row], whole.bias, match, target)


def prepared_together(rows: Sequence[MapRow]) -> Memory:
    """Return the maps that several objects left in one frame as one batch."""
    batch = rows[0].batch
    # Objects that stay together from frame to frame, which is the rule, need no copy at all.
    same = all(row.batch is batch and row.row == i for i, row in enumerate(rows))
    if same and batch.prepared is not None and batch.raw.shape[0] == len(rows):
        return batch.prepared
    parts = [row.prepared for row in rows]
    match = [part.match for part in parts if part.match is not None]
    target = [part.target for part in parts if part.target is not None]
    return Memory(
        keys=torch.cat([part.keys for part in parts], 1),
        values=torch.cat([part.values for part in parts]),
        bias=parts[0].bias,
        match=torch.cat(match) if match else None,
        target=torch.cat(target) if target else None,
    )


def pack_rows(rows: Sequence[MapRow]) -> tuple[dict[str, np.ndarray], Any]:
    """Return the arrays of the batches that the rows are of, and which row is where."""
    batches = list({id(row.batch): row.batch for row in rows}.values())
    arrays, layouts = {}, []
    for number, batch in enumerate(batches):
        layout = {}
        for name, tensor in _tensors(batch).items():
            arrays[f"{number}.{name}"], layout[name] = _packed(tensor)
        layouts.append(layout)
    places = {id(batch): number for number, batch in enumerate(batches)}
    return arrays, {"batches": layouts, "rows": [[places[id(r.batch)], r.row] for r in rows]}


def unpack_rows(arrays: Mapping[str, np.ndarray], said: Any, device: torch.device) -> list[MapRow]:
    """Return rows of batches as :func:`pack_rows` was given them."""
    batches = []
    for number, layout in enumerate(said["batches"]):
        found = {
            name: _unpacked(arrays[f"{number}.{name}"], *laid).to(device)
            for name, laid in layout.items()
        }
        raw = found.pop("raw")
        batches.append(MapBatch(raw, Memory(**found) if found else None))
    return [MapRow(batches[place], row) for place, row in said["rows"]]


def _tensors(batch: MapBatch) -> dict[str, Tensor]:
    prepared = {} if batch.prepared is None else batch.prepared._asdict()
    return {"raw": batch.raw, **{n: tensor for n, tensor in prepared.items() if tensor is not None}}


def _packed(tensor: Tensor) -> tuple[np.ndarray, tuple[list[int], bool]]:
    """Return the values in the order in which they lie in memory, that order, and whether bfloat16.

    Kernels add in another order where a tensor lies otherwise, so a restored one must lie the same.
    """
    order = sorted(range(tensor.ndim), key=lambda axis: -tensor.stride()[axis])
    plain = tensor.detach().permute(order).contiguous().cpu()
    is_bf16 = plain.dtype == torch.bfloat16  # which numpy does not know
    return (plain.view(torch.int16) if is_bf16 else plain).numpy(), (order, is_bf16)


def _unpacked(array: np.ndarray, order: list[int], is_bf16: bool) -> Tensor:
    tensor = torch.from_numpy(array.copy())  # the buffer of a file is not ours to write
    tensor = tensor.view(torch.bfloat16) if is_bf16 else tensor
    return tensor.permute([order.index(axis) for axis in range(tensor.ndim)])
