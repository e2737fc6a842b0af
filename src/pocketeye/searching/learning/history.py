"""Write ``theta.csv``: the probability of every candidate after every epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from pocketeye.errors import InvalidValue
from pocketeye.models.space import SearchSpace
from pocketeye.reading import BadField, read_csv, reading
from pocketeye.runs import RunFolder, write_atomic
from pocketeye.searching.supernet.theta import Theta

THETA = "theta.csv"


class ThetaLog(Callback):
    """Append ``softmax(theta)`` of a :class:`SearchTask` to ``theta.csv`` when an epoch ends.

    One line an epoch and layer (both from 0), one column an op, empty where the op is illegal.
    """

    def __init__(self, run: RunFolder, space: SearchSpace) -> None:
        self.path, self.space = run / THETA, space

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch
        old = _rows(self.path, self.space) if self.path.is_file() else []
        # After a resume the file may hold epochs that are now repeated.
        kept = [",".join(row.values()) for row in old if int(row["epoch"]) < epoch]
        assert isinstance(pl_module.theta, Theta)
        table = pl_module.theta.probabilities().detach().cpu().tolist()
        for layer, (row, position) in enumerate(zip(table, self.space.positions, strict=True)):
            cells = (
                f"{p:.9g}" if op in position.candidates else ""  # nine digits tell any fp32 number
                for op, p in zip(self.space.ops, row, strict=True)
            )
            kept.append(",".join([str(epoch), str(layer), *cells]))
        head = ",".join(["epoch", "layer", *self.space.ops])
        write_atomic(self.path, "\n".join([head, *kept]) + "\n")


def read_theta(path: Path, space: SearchSpace) -> NDArray[np.float64]:
    """Return ``softmax(theta)`` (epochs, layers, ops) of a file by :class:`ThetaLog`, 0 where illegal.

    Raises:
        MissingFile: nothing there. InvalidValue: damaged, or of another space; the line is named.
    """
    rows = [[float(row[op] or 0.0) for op in space.ops] for row in _rows(path, space)]
    return np.array(rows).reshape(-1, space.num_layers, len(space.ops))


def _rows(path: Path, space: SearchSpace) -> list[dict[str, str]]:
    """Read the lines, checked: an epoch and layer after the other, a probability or nothing a cell."""
    rows = read_csv(path)
    for number, row in enumerate(rows):
        with reading(path, "the candidates' probabilities of a search", _REMEDY):
            if list(row) != ["epoch", "layer", *space.ops]:
                raise BadField(f"its columns are not epoch, layer and {', '.join(space.ops)}")
            epoch, layer = divmod(number, space.num_layers)
            if (row["epoch"], row["layer"]) != (str(epoch), str(layer)):
                raise BadField(f"line {number + 2} should be of epoch {epoch}, layer {layer}")
            for op in space.ops:
                _require_probability(row[op], f"line {number + 2}, {op}")
    if len(rows) % space.num_layers:
        raise InvalidValue(f"{path} ends within an epoch: {_REMEDY}")
    return rows


def _require_probability(cell: str, where: str) -> None:
    try:
        value = float(cell or 0.0)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise BadField(f"{where} should be from 0 to 1, and is {cell!r:.40}")


_REMEDY = "search again with --overwrite"
