"""Write ``theta.csv``: the probability of every candidate after every epoch."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from numpy.typing import NDArray

from pocketeye.models.space import SearchSpace
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
        old = self.path.read_text("utf-8").splitlines()[1:] if self.path.is_file() else []
        # After a resume the file may hold epochs that are now repeated.
        kept = [line for line in old if int(line.partition(",")[0]) < epoch]
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
    """Return ``softmax(theta)`` (epochs, layers, ops) of such a file, 0 where illegal."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[float(row[op] or 0.0) for op in space.ops] for row in csv.DictReader(file)]
    return np.array(rows).reshape(-1, space.num_layers, len(space.ops))
