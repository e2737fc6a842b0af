"""`pocketeye train`, `eval` and `predict` as a user calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pocketeye.cli import main
from pocketeye.data import load_images
from pocketeye.errors import InvalidValue
from pocketeye.verbs.evaluate import evaluate
from pocketeye.verbs.predict import predict
from pocketeye.verbs.train import TrainResult, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A quick training on all digits."""
    folder = tmp_path_factory.mktemp("verbs")
    text = "net@16=conv3:1>16/2|k3_e3:16>24/2|head32:24>10/1"
    from pocketeye.models import Architecture

    Architecture.parse(text).save(folder / "architecture.json")
    return train(
        str(folder / "architecture.json"), out=folder / "run", epochs=2, batch_size=32, device="cpu"
    )


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


def test_eval(trained: TrainResult) -> None:
    result = evaluate(str(trained.out), device="cpu")
    assert result.to_dict()["top1"] == pytest.approx(trained.top1)
    assert [path.name for path in result.written()] == [
        "eval.json",
        "classes.csv",
        "confusion.csv",
        "confusion.png",
        "calibration.png",
    ]
    assert result.next_commands() == [f"pocketeye export {trained.out} --data digits"]
    assert any("hardest classes" in line for line in result.lines())


def test_eval_of_an_artefact(trained: TrainResult, tmp_path: Path) -> None:
    from pocketeye.verbs.export import export

    export(str(trained.out), out=tmp_path / "artefact", data="digits", samples=4)
    result = evaluate(str(tmp_path / "artefact"))
    assert result.to_dict()["top1"] == pytest.approx(trained.top1)
    assert result.next_commands() == [f"pocketeye bench {tmp_path / 'artefact'}"]


def test_predict(trained: TrainResult, tmp_path: Path) -> None:
    val = load_images("digits", "val")
    for index in range(3):
        val[index][0].save(tmp_path / f"{index}.png")
    (tmp_path / "x.png").touch()
    result = predict(str(trained.out), [tmp_path], topk=2, device="cpu")
    data = result.to_dict()
    assert [len(row["classes"]) for row in data["predictions"]] == [2, 2, 2]
    assert data["problems"] == [f"{tmp_path / 'x.png'}: empty file"]
    assert result.next_commands() == [f"pocketeye export {trained.out}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "fbnet_x"], "unknown model 'fbnet_x'"),
        (["train", "--data", "nowhere"], "no data at nowhere"),
        (["train", "--recipe", "digit"], "Did you mean 'digits'"),
        (["train", "--epochs", "0"], "epochs must be from 1"),
        (["train", "--optimiser", "sgd"], "optimiser"),
        (["eval", "fbnet_c"], "has no trained weights"),
        (["eval", "nowhere"], "nowhere"),
        (["predict", "fbnet_c", "nowhere.png"], "no picture at nowhere.png"),
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


def test_eval_prints_one_json_object(
    trained: TrainResult, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(trained.out), "--device", "cpu", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["top1"] == pytest.approx(trained.top1)
