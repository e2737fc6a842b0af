"""Going on with a training: what is believed, what is refused, and epochs added after the end."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from safetensors.torch import load_file
from torch.multiprocessing import ProcessExitedException

from pocketeye.data import ImageSet
from pocketeye.errors import InvalidValue, MissingExtra, UserError
from pocketeye.models import load_checkpoint, read_state_dict
from pocketeye.models.weights.saved import checksum, save_weights
from pocketeye.runs import RunFolder
from pocketeye.training.classify.fit import fit
from pocketeye.training.classify.recipe import ClassifyRecipe
from pocketeye.training.engine.checkpoint import read_checkpoint
from pocketeye.training.engine.reporting.result import FitResult
from pocketeye.training.engine.run import split_options
from tests.conftest import largest_file

from .conftest import tiny_net

Sets = tuple[ImageSet, ImageSet]
CONFIG = ClassifyRecipe(
    epochs=2, batch_size=64, lr=0.1, input_size=8, crop="none", flip=0.0, device="cpu"
)


def run_fit(path: Path, digits: Sets, config: ClassifyRecipe = CONFIG, **how: bool) -> FitResult:
    run = RunFolder.open(path, config.to_dict(), **how)
    return fit(tiny_net(), *digits, config, run, how.get("resume", False))


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory, digits: Sets) -> Path:
    folder = tmp_path_factory.mktemp("resume") / "run"
    run_fit(folder, digits)
    return folder


@pytest.fixture
def finished(tmp_path: Path, trained_once: Path) -> Path:
    """A finished run that the test may change."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))


def test_a_run_can_go_on_after_its_last_epoch(finished: Path, digits: Sets) -> None:
    (finished / "eval.json").write_text("{}")
    result = run_fit(finished, digits, replace(CONFIG, epochs=3), resume=True)
    run = RunFolder(finished)
    assert result.epochs == 3
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2]
    assert (run.config()["epochs"], run.epochs_before) == (3, [2])
    assert run.metrics()[2]["lr"] > 0, "the rate of a training of three epochs"
    assert not (finished / "eval.json").exists(), "it judged other weights"
    again = run_fit(finished, digits, replace(CONFIG, epochs=3), resume=True)
    assert again == result
    assert run.epochs_before == [2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 1}, r"another epochs \(2, now 1\)"),
        ({"epochs": 3, "lr": 0.2}, r"another epochs \(2, now 3\); lr \(0\.1, now 0\.2\)"),
        ({"lr": 0.2}, r"another lr \(0\.1, now 0\.2\): "),
    ],
)
def test_a_refused_resume_names_what_differs(
    finished: Path, digits: Sets, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidValue, match=said):
        run_fit(finished, digits, replace(CONFIG, **changes), resume=True)


def test_what_differs_deep_inside_is_named_alone(tmp_path: Path) -> None:
    config = {"search": {"lr": 0.1, "epochs": 4}, "rounds": None}
    RunFolder.open(tmp_path, config, command={"table": "a.json"})
    assert RunFolder.open(tmp_path, config, resume=True).config()["command"] == {"table": "a.json"}
    changed = {"search": {"lr": 0.2, "epochs": 4}, "rounds": 3}
    with pytest.raises(InvalidValue) as said:
        RunFolder.open(tmp_path, changed, resume=True)
    assert "rounds (not set, now 3); search.lr (0.1, now 0.2)" in str(said.value)
    assert "epochs" not in str(said.value)
    with pytest.raises(InvalidValue, match=r"'d\\udce9t' is not Unicode.*rename it"):
        RunFolder.open(tmp_path / "new", {"data": {"train": os.fsdecode(b"d\xe9t")}})
    assert not (tmp_path / "new").exists()


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)


def test_a_flipped_bit_of_a_weight_is_noticed(finished: Path, digits: Sets) -> None:
    state = load_file(finished / "last.safetensors")
    weight = state["classifier.weight"].numpy().tobytes()

    def load(path: Path) -> None:
        if path.name == "last.ckpt":
            run_fit(finished, digits, resume=True)
        else:
            load_checkpoint(tiny_net(), path)

    for name in ("last.ckpt", "best.safetensors", "last.safetensors"):
        path = finished / name
        place = path.read_bytes().find(weight) if name != "best.safetensors" else -5
        assert place != -1
        flip(path, place)
        with pytest.raises(InvalidValue, match=rf"{name} is damaged.*checksum"):
            load(path)
        flip(path, place)
    load_checkpoint(tiny_net(), finished / "best.safetensors")
    run_fit(finished, digits, resume=True)


@pytest.mark.parametrize("name", ["last.ckpt", "best.safetensors"])
def test_a_flipped_bit_anywhere_is_one_sentence_or_changes_nothing(
    finished: Path, name: str
) -> None:
    path, run = finished / name, RunFolder(finished)
    read = read_checkpoint if name == "last.ckpt" else lambda path, run: read_state_dict(path)
    content, refused = checksum(read(path, run)), 0
    for place in range(1, path.stat().st_size, path.stat().st_size // 40):
        flip(path, place)
        try:
            assert checksum(read(path, run)) == content, "padding, which nobody reads"
        except InvalidValue as error:
            refused += name in str(error) and "\n" not in str(error)
        flip(path, place)
    assert refused >= 20


FOREIGN: dict[str, Any] = {
    "a list": [1, 2],
    "no checkpoint": {"state_dict": {}},
    "a number": 3.5,
    "of lightning": {
        "state_dict": {}, "optimizer_states": [], "lr_schedulers": [], "callbacks": {}, "loops": {},
        "epoch": 1, "global_step": 4,
    },
}  # fmt: skip


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_another_structure_is_one_sentence(finished: Path, digits: Sets, content: Any) -> None:
    torch.save(content, finished / "last.ckpt")
    with pytest.raises(InvalidValue, match=r"last\.ckpt is not a checkpoint of pocketeye.*--over"):
        run_fit(finished, digits, resume=True)


@pytest.mark.parametrize("data", [b"", b"x", b"PK\x03\x04" + bytes(500)])
def test_what_is_no_checkpoint_at_all(finished: Path, digits: Sets, data: bytes) -> None:
    (finished / "last.ckpt").write_bytes(data)
    with pytest.raises(InvalidValue, match=r"last\.ckpt is damaged.*--overwrite"):
        run_fit(finished, digits, resume=True)


def test_the_checkpoint_of_another_run_is_refused(
    finished: Path, tmp_path: Path, digits: Sets
) -> None:
    run_fit(tmp_path / "other", digits, replace(CONFIG, seed=1))
    (finished / "last.ckpt").write_bytes((tmp_path / "other" / "last.ckpt").read_bytes())
    with pytest.raises(InvalidValue, match=r"last\.ckpt belongs to a run with other settings"):
        run_fit(finished, digits, resume=True)


def test_the_checkpoint_of_another_network_is_refused(finished: Path, digits: Sets) -> None:
    run = RunFolder.open(finished, CONFIG.to_dict(), resume=True)
    net = tiny_net()
    net.classifier = torch.nn.Linear(16, 10, bias=False)
    with pytest.raises(InvalidValue, match=r"last\.ckpt is of another network.*classifier\.bias"):
        fit(net, *digits, CONFIG, run, True)


def test_weights_beside_the_description_of_another_network(finished: Path) -> None:
    text = (finished / "model.json").read_text()
    (finished / "model.json").write_text(text.replace('"data": "', '"data": "moved/'))
    load_checkpoint(tiny_net(), finished / "best.safetensors")
    (finished / "model.json").write_text(text.replace('"0"', '"zero"'))
    with pytest.raises(InvalidValue, match=r"belongs to another network than .*model\.json"):
        load_checkpoint(tiny_net(), finished / "best.safetensors")


def test_equal_weights_are_equal_files(tmp_path: Path) -> None:
    state = tiny_net().state_dict()
    first, second = (
        save_weights(state, tmp_path / name) for name in ("a.safetensors", "b.safetensors")
    )
    assert first.read_bytes() == second.read_bytes()
    assert checksum(load_file(first)) == checksum(state)
    assert checksum({**state, "one": torch.zeros(1)}) != checksum(state)


def test_overwriting_leaves_nothing_of_the_run_before(
    finished: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    (finished / "notes.txt").write_text("mine")
    (finished / ".metrics.csv.partial").write_text("half")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pocketeye.training.classify.fit.fit_run", killed)
    with pytest.raises(KeyboardInterrupt):
        run_fit(finished, digits, replace(CONFIG, seed=3), overwrite=True)
    names = {path.name for path in finished.iterdir()}
    assert names == {"config.yaml", "environment.json", "notes.txt"}
    monkeypatch.undo()
    run_fit(finished, digits, replace(CONFIG, seed=3), resume=True)
    assert {"model.json", "best.safetensors", "samples.png"} <= {p.name for p in finished.iterdir()}


def test_killed_at_any_file_of_the_beginning(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever writing stops before the first step, the same command with --resume goes to the end."""
    from pocketeye import outputs

    config = replace(CONFIG, epochs=1)
    whole = run_fit(tmp_path / "whole", digits, config)
    write, count = outputs.write_whole, []

    def stopping(path: Path, data: bytes, *, sync: bool = True) -> None:
        if path.parent.name.startswith("at") and len(count) == int(path.parent.name[2:]):
            monkeypatch.undo()
            raise KeyboardInterrupt
        count.append(path.name)
        write(path, data, sync=sync)

    for moment in range(5):
        count.clear()
        for module in ("pocketeye.runs", "pocketeye.results.figures"):
            monkeypatch.setattr(f"{module}.write_whole", stopping)
        with pytest.raises(KeyboardInterrupt):
            run_fit(tmp_path / f"at{moment}", digits, config)
        resumed = run_fit(tmp_path / f"at{moment}", digits, config, resume=True)
        assert resumed.value == whole.value
        files = {path.name for path in (tmp_path / f"at{moment}").iterdir()}
        assert files == {path.name for path in (tmp_path / "whole").iterdir()}


@pytest.mark.parametrize("limit", [0, 3000])
def test_a_full_disk_is_one_sentence(tmp_path: Path, digits: Sets, limit: int) -> None:
    with largest_file(limit), pytest.raises(InvalidValue, match=r"disk of .*run is full"):
        run_fit(tmp_path / "run", digits)
    assert not list((tmp_path / "run").glob(".*"))
    assert run_fit(tmp_path / "run", digits, resume=True).epochs == 2


def test_one_of_several_processes_is_killed(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit_of_lightning(*_: Any, **__: Any) -> None:
        raise ProcessExitedException(
            "process 1 terminated with signal SIGKILL", error_index=1, error_pid=1, exit_code=-9,
            signal_name="SIGKILL",
        )  # fmt: skip

    monkeypatch.setattr(Trainer, "fit", fit_of_lightning)
    with pytest.raises(UserError, match=r"ended by itself \(SIGKILL\).*nothing is saved.*--resume"):
        run_fit(tmp_path / "run", digits)


@pytest.mark.parametrize("resume", [True, False])
def test_weights_of_no_run_are_not_swept_away(tmp_path: Path, resume: bool) -> None:
    (tmp_path / "best.safetensors").write_text("somebody's")
    with pytest.raises(
        InvalidValue, match=r"holds best\.safetensors and no config\.yaml.*--overwrite"
    ):
        RunFolder.open(tmp_path, {"a": 1}, resume=resume)
    assert (tmp_path / "best.safetensors").read_text() == "somebody's"
    RunFolder.open(tmp_path, {"a": 1}, overwrite=True)
    assert not (tmp_path / "best.safetensors").exists()


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        RunFolder.held(tmp_path / "run", {"a": 1}),
        pytest.raises(InvalidValue, match="written by another process"),
        RunFolder.held(tmp_path / "run", {"a": 1}, overwrite=True),
    ):
        pass
    with RunFolder.held(tmp_path / "run", {"a": 1}, resume=True) as run:
        assert run.config() == {"a": 1}


class Writer:
    """What torch's SummaryWriter is asked to do."""

    scalars: list[tuple[str, int]]
    began: list[int]
    scalars, began = [], []

    def __init__(self, folder: str, purge_step: int) -> None:
        assert Path(folder).name == "tensorboard"
        self.began.append(purge_step)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        assert isinstance(value, float)
        self.scalars.append((name, step))

    def flush(self) -> None:
        return

    def close(self) -> None:
        return


def test_tensorboard_gets_what_metrics_csv_has(
    tmp_path: Path, digits: Sets, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    config = replace(CONFIG, tensorboard=True)
    assert "tensorboard" not in config.to_dict(), "it decides nothing"
    run_fit(tmp_path / "run", digits, config)
    run_fit(tmp_path / "run", digits, replace(config, epochs=3), resume=True)
    names = set(RunFolder(tmp_path / "run").metrics()[0]) - {"epoch", "seconds"}
    assert set(Writer.scalars) == {(name, step) for name in names for step in (1, 2, 3)}
    assert Writer.began == [1, 3]


def test_tensorboard_that_is_missing_is_said_before_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "pocketeye.training.engine.reporting.tensorboard.find_spec", lambda name: None
    )
    with pytest.raises(MissingExtra, match=r'pip install "pocketeye\[tensorboard\]"'):
        split_options({"tensorboard": True})
