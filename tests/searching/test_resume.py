"""Interrupted and continued equals uninterrupted, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pocketeye.errors import UserError
from pocketeye.searching.learning.task import SearchTask
from pocketeye.searching.run import SearchOutcome

from .toys import config, search


def same(a: SearchOutcome, b: SearchOutcome) -> None:
    assert np.array_equal(a.theta, b.theta)
    assert np.array_equal(a.theta_history, b.theta_history)
    state = b.supernet.state_dict()
    assert all(torch.equal(state[name], value) for name, value in a.supernet.state_dict().items())
    for left, right in zip(a.history, b.history, strict=True):
        assert {k: v for k, v in left.items() if k != "seconds"} == {
            k: v for k, v in right.items() if k != "seconds"
        }


@pytest.mark.parametrize("mode", ["fast", "paper"])
def test_resumed_equals_uninterrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """Stopped in warm-up (nothing saved yet), and then in the theta half of a later epoch."""
    settings = config(mode=mode)
    whole = search(tmp_path / "whole", settings)
    step, stop_at = SearchTask.training_step, (0, 1)
    parts = tmp_path / "parts"

    def interrupted(self: SearchTask, batch: Any, batch_idx: int) -> Any:
        if (self.current_epoch, batch_idx) == stop_at:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(SearchTask, "training_step", interrupted)
        with pytest.raises(UserError, match="--resume"):
            search(parts, settings)
        stop_at = (2, 5)
        with pytest.raises(UserError, match="--resume"):
            search(parts, settings, resume=True)
    same(search(parts, settings, resume=True), whole)
    same(search(parts, settings, resume=True), whole)
