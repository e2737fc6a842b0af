"""Keep a block library: the weights of all candidates, and what each costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pocketeye.models.architecture import Architecture
from pocketeye.models.space import SearchSpace
from pocketeye.models.weights.load import read_state_dict
from pocketeye.models.weights.saved import save_weights
from pocketeye.reading import BadField, Kind, make, reading
from pocketeye.runs import RunFolder
from pocketeye.searching.library.chain import columns
from pocketeye.searching.library.swaps import Swaps
from pocketeye.searching.supernet.supernet import SuperNet

LIBRARY, WEIGHTS = "library.json", "library.safetensors"
SCHEMA = "pocketeye.library/1"
_FILE = Kind(what="a block library", schema=SCHEMA, remedy="delete it and repeat the command")


@dataclass(frozen=True, kw_only=True)
class Library:
    """Hold a taught supernet and what single swaps cost.

    Attributes:
        supernet: every candidate taught, the teacher's own among them; on the CPU.
        teacher: the network they were taught by, one of the space.
        swaps: per layer and op.
        num_images: kept-back images the swaps were measured on.
    """

    supernet: SuperNet
    teacher: Architecture
    swaps: Swaps
    num_images: int

    @property
    def space(self) -> SearchSpace:
        return self.supernet.space

    @property
    def teacher_columns(self) -> tuple[int, ...]:
        return columns(self.space, self.teacher)

    def save(self, run: RunFolder) -> None:
        """Write weights, then ``library.json``: where that is, all of it is."""
        save_weights(self.supernet.state_dict(), run / WEIGHTS)
        scores = {name: _lists(array) for name, array in vars(self.swaps).items()}
        run.write_json(
            LIBRARY,
            {"schema": SCHEMA, "space": self.space.to_dict(), "teacher": str(self.teacher),
             "num_images": self.num_images, "swaps": scores},
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path, space: SearchSpace) -> Library:
        """Read what :meth:`save` wrote.

        Raises:
            MissingFile: nothing there. InvalidValue: damaged, or of another space.
        """
        data = _FILE.read(folder / LIBRARY)
        with reading(folder / LIBRARY, _FILE.what, _FILE.remedy):
            stored = make(_Stored, {k: v for k, v in data.items() if k != "schema"})
            if SearchSpace.from_dict(stored.space) != space:
                raise BadField(f"it is of another space than {space.name!r}")
            swaps = Swaps(
                **{f.name: _array(getattr(stored.swaps, f.name), space) for f in fields(Swaps)}
            )
            teacher = Architecture.parse(stored.teacher)
        supernet = SuperNet(space)
        with reading(folder / WEIGHTS, _FILE.what, _FILE.remedy):
            state = read_state_dict(folder / WEIGHTS)
            if {k: v.shape for k, v in state.items()} != {
                k: v.shape for k, v in supernet.state_dict().items()
            }:
                raise BadField("its weights are not those of the space")
        supernet.load_state_dict(state)
        return cls(
            supernet=supernet.eval(), teacher=teacher, swaps=swaps, num_images=stored.num_images
        )


Rows = tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, kw_only=True)
class _Swaps:
    error: Rows
    kl: Rows
    agreement: Rows
    loss: Rows


@dataclass(frozen=True, kw_only=True)
class _Stored:
    space: dict[str, Any]
    teacher: str
    num_images: int
    swaps: _Swaps


def _lists(array: Any) -> list[list[float | None]]:
    return [[None if math.isnan(v) else v for v in row] for row in array.tolist()]


def _array(rows: Rows, space: SearchSpace) -> Any:
    shape = (space.num_layers, len(space.ops))
    if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
        raise BadField(f"a table of swaps is not {shape[0]} layers of {shape[1]} candidates")
    return np.array([[math.nan if v is None else v for v in row] for row in rows])
