"""Networks that were trained anyway correct what a library says of each block."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import numpy as np
import pytest

from pocketeye.errors import InvalidValue, MissingFile
from pocketeye.latency.sampling import uniform
from pocketeye.models import Architecture
from pocketeye.predicting.info import ModelInfo
from pocketeye.searching.choosing.choose import best_networks
from pocketeye.searching.choosing.trained import read_trained
from pocketeye.searching.library.chain import columns
from tests.searching.toys import SPACE, digits, make_table

LEGAL = np.array([[op in p.candidates for op in SPACE.ops] for p in SPACE.positions])
PARTS = np.where(LEGAL, np.random.default_rng(0).normal(0, 0.02, LEGAL.shape), np.nan)


def accuracy(network: Architecture) -> float:
    return float(0.7 + PARTS[np.arange(SPACE.num_layers), list(columns(SPACE, network))].sum())


def make_run(folder: Path, network: Architecture, value: float, epochs: int = 8) -> Path:
    folder.mkdir(parents=True)
    network.save(folder / "architecture.json")
    ModelInfo.default("made up", digits().classes, 1, 8).save(folder)
    (folder / "result.json").write_text(json.dumps({"value": value}))
    (folder / "recipe.yaml").write_text(f"epochs: {epochs}\nseed: {len(folder.name)}\n")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for number, network in enumerate(uniform(SPACE, 40, seed=2)):
        make_run(tmp_path / "runs" / f"net{number}", network, accuracy(network))
    (tmp_path / "runs" / "plan.json").write_text("{}")
    (tmp_path / "runs" / "unfinished").mkdir()
    return tmp_path / "runs"


def test_a_folder_of_runs_gives_parts_that_choose_well(runs: Path) -> None:
    trained = read_trained([runs], SPACE, digits())
    assert trained.num_runs == 40
    scores = trained.predictor(SPACE, np.where(LEGAL, 0.0, np.nan)).scores
    assert np.array_equal(np.isfinite(scores), LEGAL)
    costs = make_table().matrix(SPACE)
    low, high = costs.range_ms
    (found,) = best_networks(scores, costs, high_ms=(low + high) / 2)
    (truly,) = best_networks(-PARTS, costs, high_ms=(low + high) / 2)
    rows = np.arange(SPACE.num_layers)
    assert PARTS[rows, list(found)].sum() > 0.8 * PARTS[rows, list(truly)].sum()


def test_seeds_of_one_network_count_as_their_mean(runs: Path, tmp_path: Path) -> None:
    network = Architecture.load(runs / "net0" / "architecture.json")
    again = make_run(tmp_path / "again", network, accuracy(network) + 0.1)
    trained = read_trained([runs, again], SPACE, digits())
    row = trained.choices.tolist().index(list(columns(SPACE, network)))
    assert trained.accuracies[row] == pytest.approx(accuracy(network) + 0.05)
    assert trained.num_runs == 41


def test_other_recipes_are_said(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = SPACE.sample(random.Random(9))
    other = make_run(tmp_path / "other", network, 0.5, epochs=3)
    with caplog.at_level(logging.WARNING):
        read_trained([runs, other], SPACE, digits())
    assert "different recipes" in caplog.text


def test_what_teaches_nothing_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no folder at"):
        read_trained([tmp_path / "none"], SPACE, digits())
    with pytest.raises(MissingFile, match="no finished run"):
        read_trained([runs / "unfinished"], SPACE, digits())
    with pytest.raises(InvalidValue, match="8 different networks or more, got 1"):
        read_trained([runs / "net1"], SPACE, digits())
    with pytest.raises(InvalidValue, match=r"net0.* another size"):
        read_trained([runs], SPACE.with_(input_size=12), digits())
    ModelInfo.default("made up", tuple("abcdefghij"), 1, 8).save(runs / "net3")
    with pytest.raises(InvalidValue, match="net3 was trained on other data"):
        read_trained([runs], SPACE, digits())
