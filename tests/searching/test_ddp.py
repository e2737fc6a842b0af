"""Two processes (gloo) search as one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from pocketeye.runs import RunFolder
from pocketeye.searching import run as search_run
from pocketeye.searching.learning.distributed import UnwrappedDDP
from pocketeye.searching.problem import Classification

from .toys import SPACE, config, digits, make_table


class KeepEachRank(Callback):
    """Leaves what every process ends up with in a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        torch.save(pl_module.state_dict(), self.folder / f"rank{trainer.global_rank}.pt")


@pytest.mark.parametrize("mode", ["fast", pytest.param("paper", marks=pytest.mark.slow)])
def test_two_processes_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    settings = config(mode=mode, num_processes=2, batch_size=16, theta_batch_size=4, epochs=2)
    make = search_run.make_trainer
    monkeypatch.setattr(
        search_run,
        "make_trainer",
        lambda *args, callbacks, strategy, **more: make(
            *args,
            callbacks=[*callbacks, KeepEachRank(tmp_path)],
            strategy=UnwrappedDDP(start_method="spawn"),
            **more,
        ),
    )
    run = RunFolder.open(tmp_path / "run", settings.to_dict())
    outcome = search_run.run_search(SPACE, make_table(), Classification(digits()), settings, run)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    mask = outcome.supernet.mask
    assert bool((first["theta.theta"][mask] != 0).all()), "theta was trained"
    # what the caller gets is what the processes ended up with, so derivation agrees as well
    assert np.array_equal(outcome.theta[mask.numpy()], first["theta.theta"][mask].double().numpy())
    state = outcome.supernet.state_dict()
    assert all(torch.equal(first[f"supernet.{name}"], value) for name, value in state.items())
    assert [row["epoch"] for row in outcome.history] == [0.0, 1.0]
