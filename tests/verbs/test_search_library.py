"""Mode library from a table to a trained network, and a trained network made faster.

Latencies are made up, as in :mod:`tests.verbs.test_search`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pocketeye.data.classification.images import load_unlabelled
from pocketeye.errors import InvalidValue
from pocketeye.latency.table import LatencyTable
from pocketeye.models import create_model
from pocketeye.models.architecture import BlockSpec
from pocketeye.searching import stages
from pocketeye.searching.library.network import candidates_of, open_network, space_of
from pocketeye.verbs.search import SearchResult, search

from .search_fakes import SPACE, FakeRuntime, made_up_table

SETTINGS: dict[str, Any] = {
    "mode": "library", "target_ms": 2.0, "epochs": 1, "batch_size": 128, "candidates": 2,
    "measure_top": 1, "train_epochs": 1, "teacher_epochs": 1, "library_epochs": 1, "tune_steps": 2,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def table(root: Path) -> Path:
    return made_up_table().save(root / "tiny.latency.json")


@pytest.fixture(scope="module")
def finished(table: Path, root: Path) -> Iterator[SearchResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "measure_session", FakeRuntime())
        yield search(table=table, out=root / "first", **SETTINGS)


def test_a_search_ends_with_a_network_and_says_what_a_swap_costs(
    finished: SearchResult, root: Path
) -> None:
    best = finished.best
    assert best.measured_ms is not None
    assert best.measured_ms <= 2.0 * 1.02
    assert finished.trained is not None
    assert "from its taught blocks" in "\n".join(finished.lines())
    assert [c.name for c in finished.costs] == [
        "teacher", "library", "search", "derivation", "training",
    ]  # fmt: skip
    page = (root / "first" / "report.html").read_text()
    assert "What every layer got" in page
    assert "times as fast" in page
    assert (root / "first" / "pareto.png").is_file()
    begun: Any = create_model(root / "first" / "architecture.json")
    assert (root / "first" / "start.safetensors").is_file()
    trained: Any = create_model(root / "first")
    assert begun.architecture == best.architecture
    assert trained.architecture.blocks == best.architecture.blocks
    recipe = (root / "first" / "train" / "recipe.yaml").read_text()
    assert "distill: soft" in recipe


def test_another_device_finds_teacher_and_library_made(
    finished: SearchResult, table: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "measure_session", FakeRuntime())
    monkeypatch.setattr("pocketeye.searching.library.teacher.fit", None)  # calling it would crash
    monkeypatch.setattr("pocketeye.searching.library.learn.fit_resumable", None)
    other = made_up_table(rounds=25).save(root / "other.latency.json")
    again = search(
        table=other, out=root / "second", **{**SETTINGS, "target_ms": 1.7, "retrain": False}
    )
    assert again.best.predicted_ms <= 1.7
    assert len(list((root / "libraries").iterdir())) == 2


def test_the_trained_network_itself_is_made_faster_without_labels(
    finished: SearchResult, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Photos in no class folders: the network's answers are learnt."""
    photos = root / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        Image.fromarray(rng.integers(0, 255, (9, 9), np.uint8)).save(photos / f"{number}.png")
    name = str(root / "first")
    network = open_network(name)
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(network.chain(images), create_model(name).eval()(images))
    table = made_up_table(network.space).save(root / "own.latency.json")
    own_ms = LatencyTable.load(table).predict(network.chain.architecture)
    monkeypatch.setattr(stages, "measure_session", FakeRuntime())
    settings = {
        key: value for key, value in SETTINGS.items() if key not in ("mode", "teacher_epochs")
    }
    settings |= {"target_ms": 0.9 * own_ms, "batch_size": 8, "data": str(photos)}
    result = search(network=name, table=table, out=root / "faster", **settings)
    assert result.trained is not None
    assert result.trained.metric == "agreement"
    assert result.best.predicted_ms <= 0.9 * own_ms
    stored = json.loads((root / "faster" / "result.json").read_text())
    assert stored["agreement"] == result.trained.value
    assert len(load_unlabelled(photos, "val")) == 8


def test_what_stands_in_the_way_is_said(
    finished: SearchResult, table: Path, root: Path, tmp_path: Path
) -> None:
    name, low = str(root / "first"), LatencyTable.load(table).matrix(SPACE).range_ms[0]
    cases: list[tuple[dict[str, Any], str]] = [
        ({**SETTINGS, "target_ms": low + 0.01}, "only a network that skips"),
        ({**SETTINGS, "mode": "fast", "teacher": name}, "of --mode library"),
        ({"mode": "fast", "target_ms": 2.0, "trained": [root]}, "--trained is of --mode library"),
        ({**SETTINGS, "trained": [root / "first"]}, "8 different networks"),
        ({**SETTINGS, "max_trainings": -1.0}, "above 0 trainings"),
        ({**SETTINGS, "teacher": name}, "leave out --teacher-epochs"),
        ({**SETTINGS, "mode": "paper", "network": name}, "leave out --mode paper"),
        ({**SETTINGS, "labels": False}, "name one with --network"),
        ({**SETTINGS, "mode": None, "network": "casvit_xs.tiny_imagenet_24"}, "no inverted residual"),
        ({**SETTINGS, "teacher_epochs": None, "teacher": "casvit_xs.tiny_imagenet_24"}, "no network"),
        ({**SETTINGS, "teacher_epochs": None, "teacher": "fbnet_c"}, "without trained weights"),
        ({**SETTINGS, "library": _other_library(root), "out": tmp_path / "b"}, "data_sha256"),
    ]  # fmt: skip
    for settings, words in cases:
        with pytest.raises(InvalidValue, match=words):
            search(table=table, **{"out": tmp_path / "a", **settings})


def test_a_space_holds_the_network_and_what_is_cheaper() -> None:
    block = BlockSpec(op="k5_e6_relu6", in_chs=16, out_chs=16)
    found = candidates_of(block)
    assert found[0] == "k5_e6_relu6"
    assert found[-1] == "skip"
    assert {"k5_e3_relu6", "k3_e6_relu6", "k7_e3_relu6", "k5_e6_g2_relu6"} <= set(found)
    assert not any("e7" in op for op in found)
    assert candidates_of(BlockSpec(op="skip", in_chs=16, out_chs=16)) == ("skip",)
    assert candidates_of(BlockSpec(op="k3_e1_nopw", in_chs=32, out_chs=16)) == ("k3_e1_nopw",)
    network = SPACE.architecture(("k3_e1", "skip", "k3_e6", "k5_e3", "skip"), "mine")
    space = space_of(network)
    assert space.architecture(space.choices(network), "mine") == network


def _other_library(root: Path) -> Path:
    """A library that says it is of other data."""
    import shutil

    made = next(path for path in (root / "libraries").iterdir() if "library" in path.name)
    other = root / "other-library"
    if not other.exists():
        shutil.copytree(made, other)
        config = other / "config.yaml"
        lines = config.read_text().splitlines()
        changed = ["data_sha256: abc" if "data_sha256" in line else line for line in lines]
        config.write_text("\n".join(changed) + "\n")
    return other


def test_killed_in_every_phase_and_resumed_equals_uninterrupted(
    finished: SearchResult, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    fake = FakeRuntime()
    resume = False
    for phase in (
        "pocketeye.searching.library.teacher.fit",
        "pocketeye.searching.library.learn.measure_swaps",
        "pocketeye.searching.run.fit_resumable",
        "pocketeye.searching.stages.measure_session",
        "pocketeye.searching.stages.take_out",
        "pocketeye.training.classify.fit.fit",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(stages, "measure_session", fake)
            patch.setattr(phase, killed)
            with pytest.raises(KeyboardInterrupt):
                search(table=table, out=tmp_path / "run", resume=resume, **SETTINGS)
        resume = True
    monkeypatch.setattr(stages, "measure_session", fake)
    result = search(table=table, out=tmp_path / "run", resume=True, **SETTINGS)
    assert result.best == finished.best
    assert result.trained == finished.trained
    for name in ("best.safetensors", "start.safetensors", "theta.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (finished.out / name).read_bytes()
