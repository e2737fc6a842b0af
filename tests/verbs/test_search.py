"""The verb ``search`` from a table to a trained network, interrupted, continued, and refused.

The latency table is made up and networks are "measured" by its own prediction, so that nothing here
depends on how busy the machine is; the protocol has tests of its own, and one slow test measures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pocketeye.errors import InvalidValue, MissingFile, UserError
from pocketeye.latency.device import Device
from pocketeye.models import Architecture, create_model
from pocketeye.runtimes import get_runtime
from pocketeye.searching import stages
from pocketeye.verbs.search import search
from pocketeye.verbs.search.result import SearchResult

from .search_fakes import SPACE, FakeRuntime, made_up_table

SETTINGS: dict[str, Any] = {
    "target_ms": 2.0, "epochs": 2, "warmup_epochs": 1, "batch_size": 128, "candidates": 3,
    "measure_top": 2, "train_epochs": 1, "device": "cpu",
}  # fmt: skip
# Where what is learnt does not matter.
QUICK: dict[str, Any] = {**SETTINGS, "epochs": 1, "warmup_epochs": 0}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_table().save(tmp_path_factory.mktemp("table") / "tiny.latency.json")


@pytest.fixture(scope="module")
def finished(
    table: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SearchResult, Path]]:
    out = tmp_path_factory.mktemp("search") / "a run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "measure_session", FakeRuntime())
        yield search(table=table, out=out, **SETTINGS), out


def test_result_meets_the_target_and_says_so(finished: tuple[SearchResult, Path]) -> None:
    result, _ = finished
    best = result.best
    assert best.measured_ms is not None
    assert abs(best.measured_ms / 2.0 - 1) <= 0.05
    assert best.prediction_error == pytest.approx(1 / 1.01 - 1)
    text = "\n".join(result.lines())
    assert "budget 2 ms" in text
    assert "drift of +0.0 % taken out" in text
    assert f"measured {best.measured_ms:.3g} ms" in text
    assert "random ones" in text
    assert "chance 10." in text
    assert "core-hours" in text
    assert result.trained is not None
    assert f"top-1 {result.trained.value:.2%} on {result.trained.num_images}" in text


def test_folder_explains_itself(finished: tuple[SearchResult, Path]) -> None:
    result, out = finished
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "config.yaml", "environment.json", "metrics.csv", "architecture.json", "candidates.json",
        "candidates.csv", "costs.json", "result.json", "report.html", "best.safetensors",
        "model.json", "architecture.png", "theta.png", "curves.png", "accuracy_latency.png",
        "predicted_measured.png",
    }  # fmt: skip
    assert all(path.is_file() for path in result.files)
    assert result.written() == [out / "report.html", out / "architecture.json", out]
    assert Architecture.load(out / "architecture.json") == result.best.architecture
    stored = json.loads((out / "result.json").read_text())
    assert stored["measured_ms"] == result.best.measured_ms
    assert set(stored["costs"]) == {"search", "derivation", "training"}
    assert all(cost["seconds"] > 0 for cost in stored["costs"].values())
    page = (out / "report.html").read_text()
    assert "onnxruntime" in page
    assert "digits" in page
    assert f">{result.best.measured_ms:.3f}<" in page


def test_run_folder_is_a_trained_network(finished: tuple[SearchResult, Path]) -> None:
    import torch

    _, out = finished
    network = create_model(out)
    plain = create_model(out / "architecture.json")
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert network.eval()(images).shape == (2, 10)
        assert not torch.equal(network(images), plain.eval()(images))


def test_next_commands_are_whole(finished: tuple[SearchResult, Path]) -> None:
    result, out = finished
    first, *rest = result.next_commands()
    assert first.startswith(f"pocketeye export '{out}' --to onnxruntime --precision fp32")
    assert all(command.startswith("pocketeye ") for command in rest)
    longer = f"--epochs {4 * result.trained.epochs} --out '{out / 'longer'}'"
    assert rest[-1].startswith("pocketeye train classify ")
    assert rest[-1].endswith(longer)


def test_a_finished_search_resumes_to_the_same_without_work(
    finished: tuple[SearchResult, Path], table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, out = finished
    monkeypatch.setattr(stages, "measure_session", None)  # calling it would crash
    metrics = (out / "metrics.csv").read_bytes()
    weights = (out / "best.safetensors").read_bytes()
    again = search(table=table, out=out, resume=True, **SETTINGS)
    assert again.best == result.best
    assert again.trained == result.trained
    assert (out / "metrics.csv").read_bytes() == metrics
    assert (out / "best.safetensors").read_bytes() == weights


def test_interrupted_twice_and_resumed_equals_uninterrupted(
    finished: tuple[SearchResult, Path],
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    fake = FakeRuntime()
    with monkeypatch.context() as patch:
        patch.setattr(stages, "measure_session", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(table=table, out=tmp_path, **SETTINGS)
    assert json.loads((tmp_path / "costs.json").read_text())["search"]["seconds"] > 0
    metrics = (tmp_path / "metrics.csv").read_bytes()
    monkeypatch.setattr(stages, "measure_session", fake)
    with monkeypatch.context() as patch:
        patch.setattr("pocketeye.training.classify.fit.fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            search(table=table, out=tmp_path, resume=True, **SETTINGS)
    result = search(table=table, out=tmp_path, resume=True, **SETTINGS)
    assert fake.calls == 1  # not measured twice
    assert (tmp_path / "metrics.csv").read_bytes() == metrics  # not searched twice
    assert result.best == finished[0].best
    assert result.trained == finished[0].trained


def test_a_folder_is_not_overwritten_silently(
    finished: tuple[SearchResult, Path], table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out = finished
    with pytest.raises(InvalidValue, match=r"already holds a run.*--resume.*--overwrite"):
        search(table=table, out=out, **SETTINGS)
    with pytest.raises(InvalidValue, match=r"cannot resume .*another derive"):
        search(table=table, out=out, resume=True, **{**SETTINGS, "candidates": 5})


def test_overwriting_forgets_every_stage(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "measure_session", FakeRuntime())
    (tmp_path / "train").mkdir()
    for name in ("config.yaml", "theta.csv", "candidates.json", "best.safetensors", "model.json",
                 "train/config.yaml", "train/best.safetensors"):  # fmt: skip
        (tmp_path / name).write_text("of: an earlier search")
    (tmp_path / "costs.json").write_text('{"training": {"seconds": 1, "cpu_seconds": 1}}')
    second = search(table=table, out=tmp_path, overwrite=True, retrain=False, **QUICK)
    assert second.trained is None
    assert second.best.measured_ms is not None
    assert not (tmp_path / "best.safetensors").exists()
    assert not (tmp_path / "train").exists()
    assert second.next_commands() == [
        f"pocketeye train classify {tmp_path / 'architecture.json'} --data digits"
    ]
    assert "training" not in json.loads((tmp_path / "costs.json").read_text())


def test_a_slower_machine_is_not_taken_for_an_error_of_the_table(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "measure_session", FakeRuntime(drift=0.4))
    result = search(table=table, out=tmp_path, retrain=False, **QUICK)
    best = result.best
    assert best.measured_ms == pytest.approx(1.01 * best.predicted_ms)
    assert best.timing is not None
    assert best.timing.undisturbed_ms == pytest.approx(1.4 * best.measured_ms)  # what it took now
    assert "40.0% slower than when the table was made" in "\n".join(result.lines())


def test_no_network_within_the_budget_is_one_sentence(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "measure_session", FakeRuntime(gain=40.0))
    with pytest.raises(
        UserError, match=r"no measured network keeps the budget.*fastest took.*quiet"
    ):
        search(table=table, out=tmp_path, retrain=False, **QUICK)


def test_it_says_before_it_starts_how_long_it_takes_and_what_guessing_gives(
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def begun(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "search_stage", begun)
    with pytest.raises(KeyboardInterrupt):
        search(table=table, out=tmp_path, **SETTINGS)
    (said,) = (record for record in caplog.records if getattr(record, "plain", False))
    assert re.search(r"about .* here: search .*training the network found", said.message)
    assert "chance level: top-1 10.2 %" in said.message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_ms": 50.0}, r"50 ms is above the slowest .* choose one from .* to .* ms"),
        ({"target_ms": 0.01}, r"0\.01 ms is below the fastest"),
        ({"precision": "int8"}, r"made for precision fp32 \(wanted: int8\)"),
        ({"runtime": "torch"}, r"made for runtime onnxruntime \(wanted: torch\)"),
        ({"threads": 4}, r"made for threads 1 \(wanted: 4\)"),
        ({"space": "digits"}, r"made for input size 8 \(wanted: 16\)"),
        ({"space": "digitz"}, r"unknown search space 'digitz'. Did you mean 'digits'\?"),
        ({"device": "gpu"}, r"unknown device 'gpu'"),
        ({"train_recipe": "digit"}, r"unknown recipe 'digit'. Did you mean 'digits'\?"),
        ({"warmup_epochs": 3}, r"warmup_epochs must be 0 or more and below epochs"),
        ({"tolerance": -0.1}, r"tolerance must be 0 or more"),
    ],
)
def test_bad_input_is_one_sentence(
    changes: dict[str, Any], words: str, table: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidValue, match=words) as error:
        search(table=table, out=tmp_path / "new", **{**SETTINGS, **changes})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()


def test_missing_table_and_data_are_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"nowhere\.json.*pocketeye measure"):
        search(table=tmp_path / "nowhere.json", **SETTINGS)
    with pytest.raises(MissingFile, match="no data at"):
        search(table=table, data=str(tmp_path / "images"), out=tmp_path / "new", **SETTINGS)


def test_tables_that_do_not_describe_this_search_are_refused(tmp_path: Path) -> None:
    def refused(words: str, **header: Any) -> None:
        path = made_up_table(**header).save(tmp_path / "other.latency.json")
        with pytest.raises(InvalidValue, match=words):
            search(table=path, out=tmp_path / "new", **SETTINGS)

    refused("too noisy to search with", disagree=0.9)
    refused(r"measured on Another .* and this is", device=replace(Device.here(), cpu="Another"))
    refused("latencies change between versions", runtime_version="0.0.1")
    refused(r"digits has 10 classes, .* networks with 7: .*--num-classes 10",
            space=replace(SPACE, num_classes=7))  # fmt: skip


def test_torchrun_is_told_what_to_do(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidValue, match="--num-processes"):
        search(table=table, **SETTINGS)


def test_json_of_the_result_is_plain(finished: tuple[SearchResult, Path]) -> None:
    data = finished[0].to_dict()
    text = json.dumps(data, default=str, allow_nan=False)
    assert re.search(r'"predicted_ms": \d', text)
    assert json.loads(text)["random_baseline"]["num_random"] == 3


@pytest.mark.slow
def test_measured_for_real(tmp_path: Path) -> None:
    from pocketeye.latency.build import build_table

    path = tmp_path / "real.latency.json"
    made = build_table(SPACE, runtime=get_runtime("onnxruntime"), out=path)
    low, high = made.matrix(SPACE).range_ms
    settings = {**SETTINGS, "target_ms": 0.4 * low + 0.6 * high, "tolerance": 0.2}
    result = search(table=path, out=tmp_path / "run", retrain=False, **settings)
    assert abs(result.best.off_target(result.target_ms) or 1.0) <= 0.2


def test_resume_needs_only_the_folder(
    finished: tuple[SearchResult, Path],
    table: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result, out = finished
    monkeypatch.setattr(stages, "measure_session", None)  # calling it would crash
    again = search(resume=True, out=out)
    assert (again.best, again.trained, again.target_ms) == (result.best, result.trained, 2.0)
    with pytest.raises(InvalidValue) as said:
        search(resume=True, out=out, candidates=5)
    assert "another derive.candidates (3, now 5):" in str(said.value)
    assert "epochs" not in str(said.value), "only what differs"
    with pytest.raises(InvalidValue, match=r"holds no search to go on with.*--table"):
        search(resume=True, out=tmp_path)
    with pytest.raises(InvalidValue, match="--out"):
        search(resume=True)
    with pytest.raises(InvalidValue, match=r"--table.*--target-ms"):
        search(table=table)


def test_a_search_killed_after_overwriting_finds_nothing_of_the_one_before(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for name in ("config.yaml", "candidates.json", "costs.json", "theta.csv", "best.safetensors"):
        (tmp_path / name).write_text("of: an earlier search")
    monkeypatch.setattr(stages, "run_search", killed)
    with pytest.raises(KeyboardInterrupt):
        search(table=table, out=tmp_path, overwrite=True, **SETTINGS)
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.yaml", "environment.json", "costs.json",
    }  # fmt: skip
    assert "earlier" not in (tmp_path / "costs.json").read_text()
