"""`pocketeye train` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pocketeye.cli import main
from pocketeye.errors import InvalidValue
from pocketeye.verbs.train import TrainResult, train


def test_train(trained: TrainResult) -> None:
    data = trained.to_dict()
    json.dumps(data, default=str)
    assert data["top1"] > 0.5
    assert data["top1_interval"][0] < data["top1"] < data["top1_interval"][1]
    assert (data["epochs"], data["input_size"], data["num_val"]) == (2, 16, trained.num_val)
    assert all(path.is_file() for path in trained.written())
    assert trained.next_commands() == [
        f"pocketeye eval {trained.out} --data digits",
        f"pocketeye export {trained.out} --data digits",
    ]
    assert "pictures) in epoch" in trained.lines()[0]


def test_a_run_is_not_overwritten(trained: TrainResult) -> None:
    model = str(trained.out.parent / "architecture.json")
    with pytest.raises(InvalidValue, match="already holds a run"):
        train(model, out=trained.out, epochs=2, batch_size=32, device="cpu")
    with pytest.raises(InvalidValue, match=r"begun with another epochs \(2, now 3\)"):
        train(model, out=trained.out, epochs=3, batch_size=32, device="cpu", resume=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "fbnet_x"], "unknown model 'fbnet_x'"),
        (["train", "--data", "nowhere"], "no data at nowhere"),
        (["train", "--recipe", "digit"], "Did you mean 'digits'"),
        (["train", "--epochs", "0"], "epochs must be from 1"),
        (["train", "--optimiser", "sgd"], "optimiser"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
