"""Keep maps of the memory as a network in torch wrote them.

Maps lie in the batch in which they were written, so that objects tracked together are read without
copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
