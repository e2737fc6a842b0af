"""What a step may change and what not, and the search from end to end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from torch import Tensor

from pocketeye.errors import InvalidValue
from pocketeye.runs import RunFolder
from pocketeye.searching.learning.phases import Phase, PhaseLoader
from pocketeye.searching.learning.task import SearchTask
from pocketeye.searching.problem import Classification
from pocketeye.searching.run import SearchOutcome, run_search
from pocketeye.searching.supernet.supernet import SuperNet
from pocketeye.training.engine.loop import fit_resumable, make_trainer

from .toys import SPACE, config, digits, make_table, make_theta, search


class Batches:
    """A few fixed batches."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        source = torch.Generator().manual_seed(self.size)
        for _ in range(self.count):
            labels = torch.randint(10, (self.size,), generator=source)
            yield torch.randn(self.size, 1, 8, 8, generator=source), labels


class Watch(Callback):
    """Notes for every step which groups of tensors it changed."""

    def __init__(self) -> None:
        self.changed: list[tuple[Phase, set[str]]] = []

    def groups(self, task: Any) -> dict[str, list[Tensor]]:
        return {
            "weights": [p.detach().clone() for p in task.supernet.parameters()],
            "statistics": [b.clone() for b in task.supernet.buffers()],
            "theta": [task.theta.theta.detach().clone()],
        }

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self.before = self.groups(pl_module)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        after = self.groups(pl_module)
        changed = {
            name for name, tensors in after.items()
            if any(not torch.equal(a, b) for a, b in zip(tensors, self.before[name], strict=True))
        }  # fmt: skip
        self.changed.append((Phase(batch[0]), changed))


def train(folder: Path, *, callback: Callback | None = None, **changes: object) -> SearchTask:
    settings = config(**changes)
    torch.manual_seed(0)
    net = SuperNet(SPACE, aligned=settings.begins_aligned)
    task = SearchTask(net, make_theta(net), settings)
    run = RunFolder.open(folder, settings.to_dict())
    loader = PhaseLoader(Batches(3, 16), Batches(2, 8), settings.warmup_epochs)
    trainer = make_trainer(
        run, max_epochs=settings.epochs, seed=settings.seed, device="cpu",
        precision=settings.precision, callbacks=[callback] if callback else [],
    )  # fmt: skip
    fit_resumable(trainer, task, (loader, None), run)
    return task


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "fast"},
        {"mode": "paper", "objective": "fbnet"},
        {"mode": "fast", "checkpointing": True, "per_image_gumbel": True},
        {"mode": "paper", "objective": "power", "checkpointing": True},
        {"mode": "fast", "precision": "bf16", "target_weight": 0.5},
    ],
)
def test_each_step_changes_its_own_half_only(tmp_path: Path, changes: dict[str, Any]) -> None:
    watch = Watch()
    train(tmp_path / "run", callback=watch, **changes)
    weights, theta = (Phase.WEIGHTS, {"weights", "statistics"}), (Phase.THETA, {"theta"})
    assert watch.changed == [weights] * 3 + ([weights] * 3 + [theta] * 2) * 2


def test_illegal_logits_stay_zero(tmp_path: Path) -> None:
    task = train(tmp_path / "run", theta_weight_decay=0.1)
    theta = task.theta.theta.detach()
    assert not theta[~task.theta.mask].any()
    assert bool((theta[task.theta.mask] != 0).all())


def test_warm_up_paths_are_uniform_then_follow_theta(tmp_path: Path) -> None:
    paths: list[tuple[int, list[int]]] = []

    class Paths(Callback):
        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
            with torch.no_grad():
                pl_module.theta.theta[:, 0] = 30.0
            if not paths:
                forward = pl_module.supernet.forward_path
                pl_module.supernet.forward_path = lambda x, choices: (
                    paths.append((trainer.current_epoch, choices)),
                    forward(x, choices),
                )[1]

    train(tmp_path / "run", callback=Paths(), warmup_epochs=2)
    warm = {tuple(path) for epoch, path in paths if epoch < 2}
    assert len(warm) > 1
    assert all(path == [0, 0, 0, 0] for epoch, path in paths if epoch == 2)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> SearchOutcome:
    return search(tmp_path_factory.mktemp("search") / "run", config())


def test_outcome(outcome: SearchOutcome) -> None:
    mask = outcome.supernet.mask.numpy()
    assert outcome.theta.shape == mask.shape == (4, 5)
    assert np.isneginf(outcome.theta[~mask]).all()
    assert np.isfinite(outcome.theta[mask]).all()
    assert outcome.theta_history.shape == (3, 4, 5)
    np.testing.assert_allclose(outcome.theta_history.sum(-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        outcome.theta_history[0][mask], (0.2,) * 10 + (0.25,) * 4 + (0.2,) * 5
    )
    final = np.exp(outcome.theta) / np.exp(outcome.theta).sum(-1, keepdims=True)
    np.testing.assert_allclose(outcome.theta_history[-1], final, rtol=1e-6)
    assert all(p.device.type == "cpu" and p.requires_grad for p in outcome.supernet.parameters())


def test_history_names_what_the_issue_asks_for(outcome: SearchOutcome) -> None:
    warm, *rest = outcome.history
    always = {"epoch", "seconds", "loss_w", "latency_ms", "argmax_latency_ms", "entropy_nats",
              "entropy_fraction", "temperature", "pressure", "lambda"}  # fmt: skip
    later = {"loss_theta", "ce", "relaxed_latency_ms", "elasticity"}
    assert always <= warm.keys()
    assert not later & warm.keys()
    for row in rest:
        assert always | later <= row.keys()
        assert all(math.isfinite(value) for value in row.values())
    mean_ms = np.nanmean(make_table().matrix(SPACE).ms, axis=1).sum() + 2.5
    assert warm["latency_ms"] == pytest.approx(mean_ms, rel=1e-6)
    assert warm["entropy_fraction"] == pytest.approx(1.0)


def test_equal_seeds_give_equal_runs(outcome: SearchOutcome, tmp_path: Path) -> None:
    again = search(tmp_path / "again", config())
    assert np.array_equal(again.theta, outcome.theta)
    state = again.supernet.state_dict()
    assert all(torch.equal(state[k], v) for k, v in outcome.supernet.state_dict().items())
    other = search(tmp_path / "other", config(seed=4))
    assert not np.array_equal(other.theta, outcome.theta)


def test_expected_latency_comes_to_the_target(tmp_path: Path) -> None:
    lows, highs = make_table().matrix(SPACE).range_ms
    target = lows + 0.4 * (highs - lows)
    found = search(
        tmp_path / "run",
        config(target_ms=target, epochs=16, theta_batch_size=4, theta_lr=0.1),
    )
    assert found.history[-1]["latency_ms"] == pytest.approx(target, rel=0.03)


@pytest.mark.parametrize(
    ("target", "verdict"), [(2.0, "below the fastest"), (99.0, "above the slow")]
)
def test_a_target_out_of_range_is_refused(tmp_path: Path, target: float, verdict: str) -> None:
    low, high = make_table().matrix(SPACE).range_ms
    with pytest.raises(InvalidValue, match=f"{verdict}.*{low:.3g} to {high:.3g} ms"):
        search(tmp_path / "run", config(target_ms=target))
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_a_table_for_another_space_is_refused(tmp_path: Path) -> None:
    table = make_table(SPACE.with_(input_size=16))
    settings = config()
    run = RunFolder.open(tmp_path / "run", settings.to_dict())
    with pytest.raises(InvalidValue, match=r"16 .*wanted: 8"):
        run_search(SPACE, table, Classification(digits()), settings, run)


def test_images_of_other_classes_are_refused(tmp_path: Path) -> None:
    space = SPACE.with_(num_classes=7)
    settings = config()
    run = RunFolder.open(tmp_path / "run", settings.to_dict())
    with pytest.raises(InvalidValue, match=r"10 classes and 1 channels.*'tiny'.* 7"):
        run_search(space, make_table(space), Classification(digits()), settings, run)
